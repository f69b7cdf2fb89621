//! Parses holiday files: the part of iCalendar (RFC 5545) that calendars of public holidays use.
//!
//! Supported are all-day events of one or several days, once or every year: on a date, on the nth
//! weekday of a month, or on a weekday among given days of a month; instances of a series may be
//! moved or cancelled (`RECURRENCE-ID`, `EXDATE`). Any other recurrence is an error with its line,
//! because a misread holiday is noticed only on that day. Events with a time of day are not
//! holidays; they are skipped and counted.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use std::collections::{BTreeMap, BTreeSet};

/// The maximum length of a holiday; a longer one is an error in the file.
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
        let events = events(lines)?;
        let mut holidays = Self::default();
        for event in events.iter().filter(|event| event.is_latest_version(&events)) {
            holidays.add(event, &events)?;
        }
        Ok(holidays)
    }

    /// The name of the holiday on a day, if there is one.
    pub fn on(&self, date: Date) -> Option<&str> {
        let yearly = || self.yearly.iter().find(|yearly| yearly.covers(date)).map(|yearly| yearly.name.as_str());
        self.once.get(&date).map(String::as_str).or_else(yearly)
    }

    /// The last holiday in the file; `None` if a recurrence has no end, or the file has no
    /// holidays.
    pub fn end(&self) -> Option<Date> {
        let last = self.yearly.iter().map(Yearly::last).max();
        let end = self.once.keys().next_back().copied().max(last)?;
        (end < Date::MAX).then_some(end)
    }

    fn add(&mut self, event: &Event, all: &[Event]) -> Result<(), CalendarError> {
        let Some(start) = event.find("DTSTART").filter(|_| !event.is_cancelled()) else { return Ok(()) };
        if start.value().contains('T') {
            self.timed += 1;
            return Ok(());
        }
        let first = start.date()?;
        let length = event.length(start, first)?;
        let name = event.find("SUMMARY").map_or_else(|| "holiday".into(), |line| unescaped(line.value()));
        let mut except = event.dates("EXDATE")?;
        except.extend(event.replaced_instances(all)?);
        let mut starts = event.dates("RDATE")?;
        match event.find("RRULE") {
            Some(rule) => {
                let mut yearly = Yearly::new(name.clone(), first, length, except.clone());
                yearly.rule(rule)?;
                self.yearly.push(yearly);
            }
            None => _ = starts.insert(first),
        }
        for start in starts.difference(&except) {
            for day in 0..length {
                let Ok(date) = start.checked_add(day.days()) else { continue };
                self.once.entry(date).or_insert_with(|| name.clone());
            }
        }
        Ok(())
    }
}

/// The properties of a `VEVENT`.
struct Event {
    lines: Vec<Line>,
}

impl Event {
    fn find(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name() == name)
    }

    fn text(&self, name: &str) -> &str {
        self.find(name).map_or("", Line::value)
    }

    /// All dates of a property that may occur several times.
    fn dates(&self, name: &str) -> Result<BTreeSet<Date>, CalendarError> {
        let mut dates = BTreeSet::new();
        for line in self.lines.iter().filter(|line| line.name() == name) {
            dates.extend(line.dates()?);
        }
        Ok(dates)
    }

    fn is_cancelled(&self) -> bool {
        self.text("STATUS").eq_ignore_ascii_case("CANCELLED")
    }

    /// Whether no other version of the same event or instance has a higher `SEQUENCE`.
    fn is_latest_version(&self, all: &[Self]) -> bool {
        let identity = |event: &Self| (event.text("UID").to_owned(), event.text("RECURRENCE-ID").to_owned());
        let sequence = |event: &Self| event.text("SEQUENCE").parse().unwrap_or(0_i64);
        let own = identity(self);
        own.0.is_empty() || !all.iter().any(|other| identity(other) == own && sequence(other) > sequence(self))
    }

    /// The days of this series that other events of the file move, change or cancel (RFC 5545,
    /// section 3.8.4.4).
    fn replaced_instances(&self, all: &[Self]) -> Result<BTreeSet<Date>, CalendarError> {
        let uid = self.text("UID");
        if uid.is_empty() || self.find("RECURRENCE-ID").is_some() {
            return Ok(BTreeSet::new());
        }
        let others =
            all.iter().filter(|other| other.text("UID") == uid).filter_map(|other| other.find("RECURRENCE-ID"));
        let day = |line: &Line| {
            if line.parameters().to_ascii_uppercase().contains("RANGE=") {
                return Err(line.wrong("a change of all following holidays (RANGE) is not supported".into()));
            }
            line.date()
        };
        others.map(day).collect()
    }

    /// The number of days, from `DTEND` or `DURATION`.
    fn length(&self, start: &Line, first: Date) -> Result<i32, CalendarError> {
        let days = match (self.find("DTEND"), self.find("DURATION")) {
            (Some(end), _) => first.until(end.date()?).map_or(0, |span| span.get_days()),
            (None, Some(duration)) => duration.whole_days()?,
            (None, None) => 1,
        };
        if days > MAX_DAYS {
            return Err(start.wrong(format!("a holiday of {days} days: the maximum is {MAX_DAYS}")));
        }
        Ok(days.max(1))
    }
}

/// Splits the lines into events. Components within an event (alarms) are ignored.
fn events(lines: Vec<Line>) -> Result<Vec<Event>, CalendarError> {
    let mut events = Vec::new();
    let mut event: Option<(usize, Event)> = None;
    let mut depth = 0_usize;
    for line in lines {
        let (name, component) = (line.name(), line.value().to_ascii_uppercase());
        match (name.as_str(), component.as_str(), &mut event) {
            ("BEGIN", "VEVENT", None) => event = Some((line.number, Event { lines: Vec::new() })),
            ("BEGIN", _, Some(_)) => depth += 1,
            ("END", _, Some(_)) if depth > 0 => depth -= 1,
            ("END", "VEVENT", _) => events.extend(event.take().map(|(_, event)| event)),
            (_, _, Some((_, event))) if depth == 0 => event.lines.push(line),
            _ => {}
        }
    }
    match event {
        Some((line, _)) => {
            Err(CalendarError { line, problem: "this event has no END:VEVENT: the file is truncated".into() })
        }
        None => Ok(events),
    }
}

impl Yearly {
    fn new(name: String, first: Date, length: i32, except: BTreeSet<Date>) -> Self {
        let (months, days, weekdays, until) = (Vec::new(), Vec::new(), Vec::new(), Date::MAX);
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

    /// The text after the first colon outside of quotes.
    fn value(&self) -> &str {
        self.text.get(self.value_start()..).unwrap_or_default().trim()
    }

    /// The parameters, such as `;VALUE=DATE`.
    fn parameters(&self) -> &str {
        let end = self.value_start().saturating_sub(1);
        self.text.find(';').and_then(|start| self.text.get(start..end)).unwrap_or_default()
    }

    fn value_start(&self) -> usize {
        let mut quoted = false;
        let colon = self.text.find(|c| {
            quoted ^= c == '"';
            c == ':' && !quoted
        });
        colon.map_or(self.text.len(), |colon| colon + 1)
    }

    /// A duration of whole days or weeks (`P3D`, `P1W`), in days.
    fn whole_days(&self) -> Result<i32, CalendarError> {
        let text = self.value().trim_start_matches('+');
        let number = |text: &str, unit: i32| Some(text.parse::<u16>().ok().map_or(0, i32::from) * unit);
        let days = text.strip_prefix('P').and_then(|text| match text.strip_suffix('D') {
            Some(days) => number(days, 1),
            None => text.strip_suffix('W').and_then(|weeks| number(weeks, 7)),
        });
        days.filter(|days| *days > 0).ok_or_else(|| {
            self.wrong(format!("the duration `{}` of a holiday must be whole days, such as P3D", self.value()))
        })
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

/// Splits into lines; one that begins with white space continues the line before (RFC 5545, section
/// 3.1).
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
