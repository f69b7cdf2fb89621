//! Prints planned times for `cargo xtask test oracle`, which compares them with Python's cronsim
//! and zoneinfo.
//!
//! The first output line is the release of the bundled tz database. Each input line has a zone, a
//! pattern, and two Unix times, separated by tabs. The answer is one line with the planned times
//! after the first and up to the second, or `unreadable`.

use beadle_model::Timestamp;
use beadle_schedule::{Pattern, TZDATA_VERSION, Zone};
use std::io::{BufRead as _, Write as _};

/// Bound of one answer; the oracle asks for fewer.
const MAX_TIMES: usize = 100_000;

fn answer(line: &str) -> Option<String> {
    let mut parts = line.split('\t');
    let mut part = || parts.next();
    let zone = Zone::named(part()?)?;
    let pattern = Pattern::cron(part()?).ok()?;
    let mut second = || Some(Timestamp::from_secs(part()?.parse().ok()?));
    let (mut after, until) = (second()?, second()?);
    let mut moments = Vec::new();
    while let Some(moment) = pattern.next(&zone, after).filter(|moment| moment.at <= until && moments.len() < MAX_TIMES)
    {
        moments.push((moment.at.as_ms() / 1000).to_string());
        after = moment.at;
    }
    Some(moments.join(" "))
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{TZDATA_VERSION}")?;
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", answer(&line?).unwrap_or_else(|| "unreadable".into()))?;
        out.flush()?;
    }
    Ok(())
}
