//! Parses holiday files: the part of iCalendar (RFC 5545) that calendars of public holidays use.
//!
//! Supported are all-day events of one or several days, once or every year: on a date, on the nth weekday of a month, or on
//! a weekday among given days of a month. Any other recurrence is an error with its line, because a misread holiday is
//! noticed only on that day. Events with a time of day are not holidays; they are skipped and counted.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use std::collections::{BTreeMap, BTreeSet};

/// The maximum length of a holiday; a longer one is a mistake in the file.
const MAX_DAYS: i32 = 366;

/// The holidays of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holidays {
    once: BTreeMap<Date, String>,
    yearly: Vec<Yearly>,
    /// The number of events that were skipped because they have a time of day.
    pub timed: usize,
}

/// Why a file is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct CalendarError {
    /// The line number, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// A holiday with a yearly recurrence rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Yearly {
    name: String,
    first: Date,
    until: Date,
    /// `INTERVAL`, in years.
    interval: i16,
    /// `COUNT`
    count: Option<i16>,
    months: Vec<i8>,
    /// `BYMONTHDAY`; negative numbers count from the end of the month.
    days: Vec<i8>,
    /// `BYDAY`: the number within the month (0 for every one) and the weekday.
    weekdays: Vec<(i8, Weekday)>,
    /// The number of days.
    length: i32,
    except: BTreeSet<Date>,
}

impl Holidays {
    /// Parses a file.
    ///
    /// # Errors
    /// At the first line that is not supported.
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        let lines = unfolded(text);
        let first = lines.first().map(|line| line.text.trim_start_matches('\u{feff}'));
        if !first.is_some_and(|line| line.eq_ignore_ascii_case("BEGIN:VCALENDAR")) {
            return Err(CalendarError {
                line: 1,
                problem: "not a calendar: the file must start with BEGIN:VCALENDAR".into(),
            });
        }
        let mut holidays = Self::default();
        let mut event: Option<(usize, Vec<Line>)> = None;
        for line in lines {
            match (line.text.to_ascii_uppercase().as_str(), &mut event) {
                ("BEGIN:VEVENT", _) => event = Some((line.number, Vec::new())),
                ("END:VEVENT", Some((_, lines))) => {
                    holidays.add(std::mem::take(lines))?;
                    event = None;
                }
                (_, Some((_, lines))) => lines.push(line),
                _ => {}
            }
        }
        match event {
            Some((line, _)) => {
                Err(CalendarError { line, problem: "this event has no END:VEVENT: the file is truncated".into() })
            }
            None => Ok(holidays),
        }
    }

    /// The name of the holiday on a day, if there is one.
    pub fn on(&self, date: Date) -> Option<&str> {
        let yearly = || self.yearly.iter().find(|yearly| yearly.covers(date)).map(|yearly| yearly.name.as_str());
        self.once.get(&date).map(String::as_str).or_else(yearly)
    }

    /// The last holiday in the file; `None` if a recurrence has no end, or the file has no holidays.
    pub fn end(&self) -> Option<Date> {
        let last = self.yearly.iter().map(Yearly::last).max();
        let end = self.once.keys().next_back().copied().max(last)?;
        (end < Date::MAX).then_some(end)
    }

    fn add(&mut self, lines: Vec<Line>) -> Result<(), CalendarError> {
        let value = |name: &str| lines.iter().find(|line| line.name() == name);
        if value("STATUS").is_some_and(|line| line.value().eq_ignore_ascii_case("CANCELLED")) {
            return Ok(());
        }
        let Some(start) = value("DTSTART") else { return Ok(()) };
        if start.value().contains('T') {
            self.timed += 1;
            return Ok(());
        }
        let first = start.date()?;
        let end = value("DTEND").map(Line::date).transpose()?;
        let length = end.and_then(|end| first.until(end).ok()).map_or(1, |span| span.get_days()).max(1);
        if length > MAX_DAYS {
            return Err(start.wrong(format!("a holiday of {length} days: the maximum is {MAX_DAYS}")));
        }
        let name = value("SUMMARY").map_or_else(|| "holiday".into(), |line| unescaped(line.value()));
        if let Some(rule) = value("RRULE") {
            let mut yearly = Yearly::new(name, first, length);
            yearly.rule(rule)?;
            for line in lines.iter().filter(|line| line.name() == "EXDATE") {
                yearly.except.extend(line.dates()?);
            }
            self.yearly.push(yearly);
            return Ok(());
        }
        let mut starts = vec![first];
        for line in lines.iter().filter(|line| line.name() == "RDATE") {
            starts.extend(line.dates()?);
        }
        for start in starts {
            for day in 0..length {
                let Ok(date) = start.checked_add(day.days()) else { continue };
                self.once.entry(date).or_insert_with(|| name.clone());
            }
        }
        Ok(())
    }
}

impl Yearly {
    fn new(name: String, first: Date, length: i32) -> Self {
        let (months, days, weekdays) = (Vec::new(), Vec::new(), Vec::new());
        let (until, except) = (Date::MAX, BTreeSet::new());
        Self { name, first, until, interval: 1, count: None, months, days, weekdays, length, except }
    }

    /// Applies an `RRULE`.
    fn rule(&mut self, line: &Line) -> Result<(), CalendarError> {
        let mut yearly = false;
        for part in line.value().split(';').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let known = match key.to_ascii_uppercase().as_str() {
                "FREQ" => {
                    yearly = value.eq_ignore_ascii_case("YEARLY");
                    Some(())
                }
                "INTERVAL" => value.parse().ok().filter(|number| *number > 0).map(|number| self.interval = number),
                "COUNT" => value.parse().ok().map(|number| self.count = Some(number)),
                "UNTIL" => date(value.get(..8).unwrap_or_default()).map(|date| self.until = date),
                "BYMONTH" => numbers(value, 1, 12).map(|months| self.months = months),
                "BYMONTHDAY" => numbers(value, -31, 31).map(|days| self.days = days),
                "BYDAY" => {
                    value.split(',').map(weekday).collect::<Option<_>>().map(|weekdays| self.weekdays = weekdays)
                }
                "WKST" => Some(()),
                _ => None,
            };
            known.ok_or_else(|| line.wrong(format!("`{part}` is not supported in a recurring holiday")))?;
        }
        if !yearly {
            return Err(line.wrong("a recurring holiday must have FREQ=YEARLY".into()));
        }
        if !self.weekdays.is_empty() && self.months.is_empty() {
            return Err(line.wrong("BYDAY without BYMONTH is not supported".into()));
        }
        Ok(())
    }

    /// An upper bound of its occurrences.
    fn last(&self) -> Date {
        let years = self.count.map(|count| self.interval.saturating_mul(count - 1));
        let by_count = years.and_then(|years| Date::new(self.first.year().checked_add(years)?, 12, 31).ok());
        self.until.min(by_count.unwrap_or(Date::MAX))
    }

    /// Whether a day is part of an occurrence.
    fn covers(&self, date: Date) -> bool {
        (0..self.length).any(|day| date.checked_sub(day.days()).is_ok_and(|start| self.begins_on(start)))
    }

    fn begins_on(&self, date: Date) -> bool {
        let years = date.year() - self.first.year();
        if date < self.first || date > self.until || years % self.interval != 0 || self.except.contains(&date) {
            return false;
        }
        if self.count.is_some_and(|count| years / self.interval >= count) {
            return false;
        }
        let same_month = self.months.contains(&date.month());
        if self.weekdays.is_empty() && self.days.is_empty() {
            let in_month = if self.months.is_empty() { date.month() == self.first.month() } else { same_month };
            return in_month && date.day() == self.first.day();
        }
        let from_end = date.day() - date.days_in_month() - 1;
        let by_day = self.days.is_empty() || self.days.contains(&date.day()) || self.days.contains(&from_end);
        let is_nth = |(nth, weekday): &(i8, Weekday)| {
            let (ahead, behind) = ((date.day() + 6) / 7, (from_end - 6) / 7);
            *weekday == date.weekday() && (*nth == 0 || *nth == ahead || *nth == behind)
        };
        let by_weekday = self.weekdays.is_empty() || self.weekdays.iter().any(is_nth);
        (self.months.is_empty() || same_month) && by_day && by_weekday
    }
}

/// An unfolded content line.
struct Line {
    number: usize,
    text: String,
}

impl Line {
    /// The property name in upper case, without parameters.
    fn name(&self) -> String {
        self.text.split([':', ';']).next().unwrap_or_default().to_ascii_uppercase()
    }

    fn value(&self) -> &str {
        self.text.split_once(':').map_or("", |(_, value)| value.trim())
    }

    fn date(&self) -> Result<Date, CalendarError> {
        date(self.value()).ok_or_else(|| self.wrong(format!("`{}` is not a date", self.value())))
    }

    fn dates(&self) -> Result<Vec<Date>, CalendarError> {
        let read = |text: &str| date(text).ok_or_else(|| self.wrong(format!("`{text}` is not a date")));
        self.value().split(',').map(read).collect()
    }

    fn wrong(&self, problem: String) -> CalendarError {
        CalendarError { line: self.number, problem }
    }
}

/// Splits into lines; one that begins with white space continues the line before (RFC 5545, section 3.1).
fn unfolded(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some(before)) => before.text.push_str(rest),
            _ => lines.push(Line { number, text: line.trim_end().to_owned() }),
        }
    }
    lines
}

/// Parses `20261225`.
fn date(text: &str) -> Option<Date> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse().ok();
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(())?;
    Date::new(number(0, 4)?, number(4, 6)?.try_into().ok()?, number(6, 8)?.try_into().ok()?).ok()
}

fn numbers(text: &str, least: i8, most: i8) -> Option<Vec<i8>> {
    text.split(',').map(|part| part.parse().ok().filter(|n| (least..=most).contains(n) && *n != 0)).collect()
}

/// Parses `MO`, `4TH` and `-1MO`.
fn weekday(text: &str) -> Option<(i8, Weekday)> {
    let (nth, name) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let weekday = match name.to_ascii_uppercase().as_str() {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return None,
    };
    if nth.is_empty() {
        return Some((0, weekday));
    }
    let nth: i8 = nth.parse().ok().filter(|nth| (-5..=5).contains(nth) && *nth != 0)?;
    Some((nth, weekday))
}

/// Resolves the escapes of a TEXT value (RFC 5545, section 3.3.11).
fn unescaped(text: &str) -> String {
    text.replace("\\n", " ").replace("\\N", " ").replace("\\,", ",").replace("\\;", ";").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests;
