//! Days on which a schedule does not fire: dates that stand in the configuration, and those of a holiday file.
//!
//! A day is one of the schedule's own zone, from midnight to midnight on its wall.

mod ics;

pub use ics::{Holidays, Unusable};

use jiff::civil::Date;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The days that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaysOff {
    /// `except`
    pub dates: BTreeSet<Date>,
    /// `holidays`; schedules that name one file share it.
    pub holidays: Option<Arc<Holidays>>,
}

impl DaysOff {
    /// Why a day is left out, if it is: the holiday's name, or `except`.
    pub fn why(&self, date: Date) -> Option<&str> {
        if self.dates.contains(&date) {
            return Some("except");
        }
        self.holidays.as_ref()?.on(date)
    }
}
