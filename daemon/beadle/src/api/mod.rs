//! The responses of the daemon's `/api/v1`: types shared by the HTTP server and the command line.
//!
//! Every answer is plain JSON; moments are milliseconds since 1970 UTC, ids are typed text, and each list carries the
//! daemon's own time (`now`), which in a simulation is not the machine's. Fields are added, never renamed: scripts read
//! this. It does not know the store's rows, nor how responses are printed.

mod common;
mod events;
mod people;
mod plugins;
mod rfc3339;
mod schedules;
mod status;
mod windows;

pub use common::*;
pub use events::*;
pub use people::*;
pub use plugins::*;
pub use schedules::*;
pub use status::*;
pub use windows::*;
