//! The responses of the daemon's `/api/v1`: types shared by the HTTP server and the command line.
//!
//! Every answer is plain JSON: times are RFC 3339 in UTC, durations are milliseconds, ids are typed
//! text, and each list carries the daemon's own time (`now`), which in a simulation is not the
//! machine's. From the first release on, fields are added and not renamed, because scripts read
//! them. The types know neither the store's rows nor how they are printed.

mod broadcasts;
mod common;
mod consents;
mod costs;
mod durable_requests;
mod events;
mod gate;
mod import;
mod people;
mod plugins;
mod privacy;
mod requests;
mod rfc3339;
mod schedules;
mod segments;
mod status;
mod templates;
mod windows;

pub use broadcasts::*;
pub use common::*;
pub use consents::*;
pub use costs::*;
pub use durable_requests::*;
pub use events::*;
pub use gate::*;
pub use import::*;
pub use people::*;
pub use plugins::*;
pub use privacy::*;
pub use requests::*;
pub use schedules::*;
pub use segments::*;
pub use status::*;
pub use templates::*;
pub use windows::*;
