//! The store on real files.

// Helpers of tests may panic only under `cfg(test)`.
#[cfg(test)]
mod broadcasts;
#[cfg(test)]
mod charges;
#[cfg(test)]
mod commits;
#[cfg(test)]
mod consents;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod dead;
#[cfg(test)]
mod durable_requests;
#[cfg(test)]
mod env;
#[cfg(test)]
mod erasures;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod merge;
#[cfg(test)]
mod opt_ins;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod people;
#[cfg(test)]
mod platform;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod released_versions;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod states;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod timers;
#[cfg(test)]
mod unreadable;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod whole;
#[cfg(test)]
mod windows;
