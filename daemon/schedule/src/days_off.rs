//! Days on which a schedule does not fire: `except` dates and a `holidays` file.
//!
//! A day runs from midnight to midnight in the zone that the schedule fires in.

mod ics;

pub use ics::{CalendarError, Holidays};

use jiff::civil::Date;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Excluded days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaysOff {
    /// `except`
    pub dates: BTreeSet<Date>,
    /// `holidays`; shared by all schedules that name the same file.
    pub holidays: Option<Arc<Holidays>>,
}

impl DaysOff {
    /// Why a day is excluded, if it is: the holiday's name, or `except`.
    pub fn reason(&self, date: Date) -> Option<&str> {
        if self.dates.contains(&date) {
            return Some("except");
        }
        self.holidays.as_ref()?.on(date)
    }
}
