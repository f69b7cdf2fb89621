//! Says when patterns fire, for whoever compares: the oracle of `cargo xtask test oracle` drives it.
//!
//! First it prints the release of its time zone data. Then each line of its input is a zone, a pattern, and two moments in
//! seconds since 1970, with tabs between them; the answer is a line with the planned moments between the two (the first
//! one not counted, the second one is), or `unreadable`.

use beadle_model::Timestamp;
use beadle_schedule::{Pattern, TZDATA, Zone};
use std::io::{BufRead as _, Write as _};

/// More than any question of the oracle has.
const MOST: usize = 100_000;

fn answer(line: &str) -> Option<String> {
    let mut parts = line.split('\t');
    let mut part = || parts.next();
    let zone = Zone::named(part()?)?;
    let pattern = Pattern::cron(part()?).ok()?;
    let mut second = || Some(Timestamp::from_secs(part()?.parse().ok()?));
    let (mut after, until) = (second()?, second()?);
    let mut moments = Vec::new();
    while let Some(moment) = pattern.next(&zone, after).filter(|moment| moment.at <= until && moments.len() < MOST) {
        moments.push((moment.at.as_ms() / 1000).to_string());
        after = moment.at;
    }
    Some(moments.join(" "))
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{TZDATA}")?;
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", answer(&line?).unwrap_or_else(|| "unreadable".into()))?;
        out.flush()?;
    }
    Ok(())
}
