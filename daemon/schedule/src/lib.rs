//! Turns the passage of time into events: plugins' timers, `[[schedule]]` entries, and conversation
//! windows.
//!
//! [`run`] is one loop for timers and schedules: it fires what is due and waits for the next due
//! time. [`Windows`] is a second loop. A firing and the progress that records it are one
//! transaction, so each fires exactly once across crashes. Ten thousand schedules are entries in an
//! ordered set, not tasks.
//!
//! When a schedule fires is a pure function: `cron` and `monthly` parse patterns, `fields` matches
//! them against local time, `zone` maps local time to instants, `pattern` and `schedule` find the
//! next planned time, `policy` decides whether a planned time fires, is caught up or is missed.
//! Only `due`, `scheduler`, `schedules`, `timers` and `windows` use the store.
//!
//! Retries and back-off are not scheduled here; they belong to whatever is being retried.

mod configured;
mod cron;
mod days_off;
mod describe;
mod due;
mod fields;
mod firing;
pub mod lint;
mod monthly;
mod pattern;
pub mod policy;
mod schedule;
mod scheduler;
mod schedules;
mod timers;
mod windows;
mod zone;

pub use configured::{ConfiguredSchedule, Counts, Target};
pub use cron::{Cron, PatternError};
pub use days_off::{CalendarError, DaysOff, Holidays};
pub use describe::{clock_change_note, describe};
pub use due::run;
pub use pattern::{DEFAULT_ANCHOR, Moment, Pattern, TimeSpec};
pub use schedule::{CatchUpMode, CatchUpPolicy, NextMoment, Overlap, Schedule, Zones};
pub use scheduler::Scheduler;
pub use schedules::Schedules;
pub use windows::Windows;
pub use zone::{LocalTimeKind, TZDATA_VERSION, Zone};
