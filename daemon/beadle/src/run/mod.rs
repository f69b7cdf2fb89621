//! Being built.
mod follow;
mod logging;
mod signals;
mod systemd;
