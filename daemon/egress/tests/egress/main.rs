//! The client against real servers on this machine, and the policy against hostile URLs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod env;
mod hostile;
mod limits;
mod redirects;
mod resolution;
mod secrets;
mod tls;
