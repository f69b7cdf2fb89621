//! Broadcasts on a real store and outbox, with a manual clock and a channel that records.

// Helpers of tests may panic only under `cfg(test)`.
#[cfg(test)]
mod commands;
#[cfg(test)]
mod env;
#[cfg(test)]
mod planning;
#[cfg(test)]
mod sending;
