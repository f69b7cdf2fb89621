//! The simulator over HTTP: a real server on a free port, and a daemon that is not one at its other end.

mod faults;
mod graph;
mod house;
mod webhooks;
