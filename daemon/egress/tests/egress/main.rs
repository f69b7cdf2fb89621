//! The client against real servers on this machine, and the policy against hostile URLs.

mod env;
mod hostile;
mod limits;
mod redirects;
mod resolution;
mod secrets;
mod tls;
