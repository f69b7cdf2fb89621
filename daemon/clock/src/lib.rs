//! Civil time, from the machine or set by a test.
//!
//! Due times, windows, back-off, pacing, expiry and retention ask this clock, so that a test can
//! let a day pass in no time. Elapsed time (time-outs, CPU limits, debounce) does not: a hung call
//! hangs for real, whatever the calendar says. See `docs/design.md#time`.
//!
//! Invariant: a waiter on the machine's clock reads it again at least every second, so that a
//! machine that slept, or whose time was set, is noticed within a second.
//!
//! It is not a timer wheel: a caller waits for the next thing that is due, not for each of them. It
//! also does not decide when to advance a manual clock; [`activity`] only reports when everything
//! that the last advance started is done.

pub mod activity;
mod alarm;
mod clock;
mod thinned;

pub use activity::{Activity, WorkGuard};
pub use alarm::Alarm;
pub use clock::{Clock, ManualClock};
pub use thinned::Thinned;
