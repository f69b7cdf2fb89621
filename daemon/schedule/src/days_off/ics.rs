//! Holiday files: iCalendar (RFC 5545) as far as files of public holidays use it.
//!
//! That is whole days, one or several, once or every year: on a date, on the nth weekday of a month, or on a weekday among
//! some days of a month. What repeats otherwise is refused with its line, since a holiday that is read wrongly is found
//! out on that day. Events with a time of day are no holidays; they are left out and counted.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use std::collections::{BTreeMap, BTreeSet};

/// A holiday longer than this is a mistake in the file.
const LONGEST_DAYS: i32 = 366;

/// The days of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holidays {
    once: BTreeMap<Date, String>,
    yearly: Vec<Yearly>,
    /// Events that were left out because they have a time of day.
    pub timed: usize,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Unusable {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub why: String,
}

/// A holiday that comes every year.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Yearly {
    name: String,
    first: Date,
    until: Date,
    /// Every so many years.
    interval: i16,
    /// So many times.
    count: Option<i16>,
    months: Vec<i8>,
    /// Days of the month; negative from its end.
    days: Vec<i8>,
    /// Weekdays with their number in the month; 0 for each.
    weekdays: Vec<(i8, Weekday)>,
    /// So many days long.
    length: i32,
    except: BTreeSet<Date>,
}

impl Holidays {
    /// Reads a file.
    ///
    /// # Errors
    /// With the first line that is not understood.
    pub fn read(text: &str) -> Result<Self, Unusable> {
        let lines = unfolded(text);
        let first = lines.first().map(|line| line.text.trim_start_matches('\u{feff}'));
        if !first.is_some_and(|line| line.eq_ignore_ascii_case("BEGIN:VCALENDAR")) {
            return Err(Unusable {
                line: 1,
                why: "this is no calendar: it does not begin with BEGIN:VCALENDAR".into(),
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
            Some((line, _)) => Err(Unusable { line, why: "this event has no end: the file is cut off".into() }),
            None => Ok(holidays),
        }
    }

    /// The holiday on a day, if there is one.
    pub fn on(&self, date: Date) -> Option<&str> {
        let yearly = || self.yearly.iter().find(|yearly| yearly.covers(date)).map(|yearly| yearly.name.as_str());
        self.once.get(&date).map(String::as_str).or_else(yearly)
    }

    /// The last day that is known; none where something comes every year without an end.
    pub fn end(&self) -> Option<Date> {
        let last = self.yearly.iter().map(Yearly::last).max();
        let end = self.once.keys().next_back().copied().max(last)?;
        (end < Date::MAX).then_some(end)
    }

    fn add(&mut self, lines: Vec<Line>) -> Result<(), Unusable> {
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
        if length > LONGEST_DAYS {
            return Err(start.wrong(format!("a holiday of {length} days")));
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

    /// Takes in what `RRULE` says.
    fn rule(&mut self, line: &Line) -> Result<(), Unusable> {
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
            known.ok_or_else(|| line.wrong(format!("`{part}` is not understood in a holiday that repeats")))?;
        }
        if !yearly {
            return Err(line.wrong("a holiday repeats every year or not at all".into()));
        }
        if !self.weekdays.is_empty() && self.months.is_empty() {
            return Err(line.wrong("a weekday of the year is not understood: add BYMONTH".into()));
        }
        Ok(())
    }

    /// No day of it is later.
    fn last(&self) -> Date {
        let years = self.count.map(|count| self.interval.saturating_mul(count - 1));
        let by_count = years.and_then(|years| Date::new(self.first.year().checked_add(years)?, 12, 31).ok());
        self.until.min(by_count.unwrap_or(Date::MAX))
    }

    /// Whether a day is in it.
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

/// A line of the file, unfolded.
struct Line {
    number: usize,
    text: String,
}

impl Line {
    /// In capitals, without its parameters.
    fn name(&self) -> String {
        self.text.split([':', ';']).next().unwrap_or_default().to_ascii_uppercase()
    }

    fn value(&self) -> &str {
        self.text.split_once(':').map_or("", |(_, value)| value.trim())
    }

    fn date(&self) -> Result<Date, Unusable> {
        date(self.value()).ok_or_else(|| self.wrong(format!("`{}` is no date", self.value())))
    }

    fn dates(&self) -> Result<Vec<Date>, Unusable> {
        let read = |text: &str| date(text).ok_or_else(|| self.wrong(format!("`{text}` is no date")));
        self.value().split(',').map(read).collect()
    }

    fn wrong(&self, why: String) -> Unusable {
        Unusable { line: self.number, why }
    }
}

/// A line that begins with white space goes on with the one before.
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

/// `20261225`
fn date(text: &str) -> Option<Date> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse().ok();
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(())?;
    Date::new(number(0, 4)?, number(4, 6)?.try_into().ok()?, number(6, 8)?.try_into().ok()?).ok()
}

fn numbers(text: &str, least: i8, most: i8) -> Option<Vec<i8>> {
    text.split(',').map(|part| part.parse().ok().filter(|n| (least..=most).contains(n) && *n != 0)).collect()
}

/// `MO`, `4TH`, `-1MO`
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

/// `\,` and its like.
fn unescaped(text: &str) -> String {
    text.replace("\\n", " ").replace("\\N", " ").replace("\\,", ",").replace("\\;", ";").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests;
