//! The simulator over HTTP: a real server on a free port, with a fake daemon as its callback.

// `cfg(test)` tells clippy that these modules, helpers included, are tests.
#[cfg(test)]
mod clock;
#[cfg(test)]
mod env;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod media;
#[cfg(test)]
mod platform;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod state;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod webhooks;
