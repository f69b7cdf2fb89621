//! The simulator over HTTP: a real server on a free port, and a daemon that is not one at its other end.

// A helper of tests may panic as a test may; it is told by `cfg(test)` that it is one.
#[cfg(test)]
mod faults;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod house;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod media;
#[cfg(test)]
mod platform;
#[cfg(test)]
mod state;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod turning;
#[cfg(test)]
mod webhooks;
