//! `[[schedule]]`: what each key may hold, and which of them go together.
//!
//! A schedule's identity is its name. Everything that can be wrong with one is found out here, holiday files included, so
//! that what runs has nothing left to refuse.

use super::mistake::{Mistake, Place};
use super::read::{NAME_FORM, Placed, Section, is_name};
use super::sections::json;
use super::tree::Value;
use beadle_schedule::{
    CatchUpMode, CatchUpPolicy, DEFAULT_ANCHOR, DaysOff, Holidays, Overlap, Pattern, PatternError, Schedule, TimeSpec,
    Zone, Zones,
};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECOND_MS: i64 = 1000;
const DAY_MS: i64 = 24 * 60 * 60 * SECOND_MS;
/// Each is looked at when the plugins or the clock change; this many are so in a second.
const MOST: usize = 50_000;
/// Each firing keeps its payload with its event.
const PAYLOAD_BYTES: usize = 64 * 1024;
/// Files of public holidays have some ten kilobytes.
const HOLIDAYS_BYTES: u64 = 1024 * 1024;

/// The keys of which a schedule has one.
const PATTERNS: [&str; 4] = ["cron", "every", "at", "monthly"];

/// Holiday files that were read, by path.
type Files = HashMap<PathBuf, Option<Arc<Holidays>>>;

/// All of them, in the order in which they stand.
pub fn schedules(root: &mut Section<'_>, home: &Zone) -> Vec<Arc<Schedule>> {
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let mut files = Files::new();
    let sections = root.tables("schedule");
    if let Some(beyond) = sections.get(MOST) {
        let place = beyond.place.clone().unwrap_or_default();
        beyond.bad_value(&place, "there are too many schedules", format!("{MOST} at most"));
    }
    let mut renamed = Vec::new();
    let mut schedules = Vec::new();
    for mut section in sections.into_iter().take(MOST) {
        let name = section.required("name", "weekly-digest").filter(|(name, place)| {
            if !is_name(name) {
                section.bad_value(place, format!("`{name}` cannot be a name"), NAME_FORM);
            }
            true
        });
        if let Some((name, place)) = &name
            && let Some(first) = places.insert(name.clone(), place.clone())
        {
            let mistake = Mistake::new("config-duplicate", place.clone(), format!("two schedules are called `{name}`"));
            let mistake = mistake.label("here again").also(first, "here first");
            section.reading.mistake(mistake.help("a schedule is known by its name: give one of them another"));
        }
        let renamed_from = section.string("renamed_from");
        renamed.extend(renamed_from.clone());
        let schedule = schedule(&mut section, home, &mut files);
        section.end();
        if let (Some((name, _)), Some(schedule)) = (name, schedule) {
            let (name, renamed_from) = (name.as_str().into(), renamed_from.map(|(name, _)| name));
            schedules.push(Arc::new(Schedule { name, renamed_from, ..schedule }));
        }
    }
    for (name, place) in renamed.iter().filter(|(name, _)| places.contains_key(name)) {
        root.bad_value(
            place,
            format!("there is a schedule `{name}`"),
            "`renamed_from` is a name that nothing has any more",
        );
    }
    schedules
}

/// All but its name. None where something is wrong that nothing can stand in for.
fn schedule(section: &mut Section<'_>, home: &Zone, files: &mut Files) -> Option<Schedule> {
    let zone = section.string("timezone").map_or_else(
        || Some(Zones::One(home.clone())),
        |named| match named.0.as_str() {
            "member" => Some(Zones::Members(home.clone())),
            _ => zone(section, "timezone", &named, &["member"]).map(Zones::One),
        },
    );
    let pattern = pattern(section);
    let plugins = plugins(section);
    let overlaps = [("queue", Overlap::Queue), ("skip", Overlap::Skip)];
    let schedule = Schedule {
        name: "".into(),
        renamed_from: None,
        source: ("", String::new()),
        pattern: Pattern::At(TimeSpec::Local(DEFAULT_ANCHOR)),
        zones: Zones::One(home.clone()),
        plugins,
        from: when(section, "from").map(|(from, ..)| from),
        until: until(section),
        days_off: days_off(section, files),
        jitter_ms: section.duration_ms("jitter", 0..=DAY_MS).unwrap_or(0),
        catch_up: catch_up(section),
        overlap: section.choice("overlap", &overlaps).unwrap_or(Overlap::Queue),
        enabled: section.boolean("enabled", true),
        payload: Arc::new(payload(section)),
    };
    if let (Some(from), Some(until)) = (schedule.from, schedule.until)
        && from.in_zone(home).0 > until.in_zone(home).0
        && let Some(place) = section.ask("until").map(|entry| entry.node.place.clone())
    {
        section.bad_value(&place, "`until` is before `from`", "so it never fires");
    }
    let ((source, pattern), zones) = (pattern?, zone?);
    Some(Schedule { source, pattern, zones, ..schedule })
}

/// A zone by its name; `also`: words that may stand there too.
pub fn zone(section: &Section<'_>, key: &str, (name, place): &Placed, also: &[&str]) -> Option<Zone> {
    let zone = Zone::named(name);
    if zone.is_none() {
        let mistake = Mistake::new("config-value", place.clone(), format!("there is no time zone `{name}`"));
        let words: String = also.iter().map(|word| format!(", or \"{word}\"")).collect();
        let mistake = mistake.label(format!("a name of the IANA list, such as \"Europe/Amsterdam\"{words}"));
        section.reading.mistake(match Zone::suggest(name) {
            Some(near) => mistake.help(format!("did you mean `{key} = \"{near}\"`?")),
            None => mistake,
        });
    }
    zone
}

/// The one pattern, and how it is written.
fn pattern(section: &mut Section<'_>) -> Option<((&'static str, String), Pattern)> {
    let there: Vec<(&'static str, Place)> =
        PATTERNS.iter().filter_map(|key| section.ask(key).map(|entry| (*key, entry.key.clone()))).collect();
    let anchor = when(section, "anchor");
    let key = match there.as_slice() {
        [] => {
            let mistake = Mistake::new(
                "config-missing",
                section.place.clone().unwrap_or_default(),
                "a schedule has a pattern: `cron`, `every`, `at` or `monthly`",
            );
            section.reading.mistake(mistake.label("in this table").help("add one, such as `cron = \"0 9 * * MON\"`"));
            return None;
        }
        [(key, _)] => *key,
        [(first, at), (second, place), ..] => {
            let mistake = Mistake::new(
                "config-unused",
                place.clone(),
                format!("a schedule has one pattern: `{first}` or `{second}`"),
            );
            section.reading.mistake(
                mistake.label("a second one").also(at.clone(), "the first one").help("make two schedules of it"),
            );
            return None;
        }
    };
    if let Some((.., anchor)) = anchor.as_ref().filter(|_| key != "every") {
        let mistake = Mistake::new("config-unused", anchor.clone(), "`anchor` is what `every` is counted from");
        section.reading.mistake(mistake.label(format!("this schedule has `{key}`")).help("leave it out"));
    }
    let refuse = |section: &Section<'_>, place: &Place, PatternError { problem, hint }: PatternError| {
        section.bad_value(place, problem, hint);
    };
    let read = match key {
        "cron" | "monthly" => {
            let said = section.string(key)?;
            let read = if key == "cron" { Pattern::cron(&said.0) } else { Pattern::monthly(&said.0) };
            let pattern = read.map_err(|why| refuse(section, &said.1, why)).ok()?;
            (said.0, pattern)
        }
        "every" => {
            let period_ms = section.duration_ms("every", SECOND_MS..=3660 * DAY_MS)?;
            let anchor = anchor.map_or(TimeSpec::Local(DEFAULT_ANCHOR), |(anchor, ..)| anchor);
            (section.string("every").map(|(text, _)| text)?, Pattern::Every { period_ms, anchor })
        }
        _ => {
            let (at, is_day, place) = when(section, "at")?;
            if is_day {
                section.bad_value(&place, "`at` has no time of day", "such as \"2026-12-24T18:00\"");
                return None;
            }
            (text_of(section, "at")?, Pattern::At(at))
        }
    };
    Some(((key, read.0), read.1))
}

/// A string, or a date or time of TOML's own.
fn text_of(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    match &section.ask(key)?.node.value {
        Value::String(text) | Value::Datetime(text) => Some(text.clone()),
        _ => None,
    }
}

/// A day or a moment; whether it is a day, and where it stands.
fn when(section: &mut Section<'_>, key: &'static str) -> Option<(TimeSpec, bool, Place)> {
    let node = &section.ask(key)?.node;
    let (Value::String(text) | Value::Datetime(text)) = &node.value else {
        section.wrong_type(node, key, "a date or time", &format!("{key} = \"2026-12-24T18:00\""));
        return None;
    };
    let Some((when, is_day)) = TimeSpec::parse(text) else {
        let label =
            "such as \"2026-12-24T18:00\" on the schedule's own clock, or with its offset, \"2026-12-24T18:00+01:00\"";
        section.bad_value(&node.place, format!("`{text}` is no date or time"), label);
        return None;
    };
    Some((when, is_day, node.place.clone()))
}

/// A day is in it to its end.
fn until(section: &mut Section<'_>) -> Option<TimeSpec> {
    let (until, is_day, _) = when(section, "until")?;
    Some(match until {
        TimeSpec::Local(midnight) if is_day => TimeSpec::Local(midnight.date().at(23, 59, 59, 0)),
        until => until,
    })
}

fn plugins(section: &mut Section<'_>) -> Vec<String> {
    let one = section.string("plugin");
    let several = section.strings("plugins");
    let named = match (one, several) {
        (None, None) => {
            section.missing("plugin", "community-updates");
            return Vec::new();
        }
        (Some((_, place)), Some(_)) => {
            let mistake = Mistake::new("config-unused", place, "`plugin` and `plugins` say the same");
            section.reading.mistake(mistake.label("put it into the list, or leave the list out"));
            return Vec::new();
        }
        (Some(one), None) => vec![one],
        (None, Some(several)) => several,
    };
    if named.is_empty()
        && let Some(place) = section.ask("plugins").map(|entry| entry.node.place.clone())
    {
        section.bad_value(&place, "`plugins` is empty", "a schedule fires for one plugin at least");
    }
    let mut plugins: Vec<String> = Vec::new();
    for (name, place) in named {
        if !is_name(&name) {
            section.bad_value(&place, format!("`{name}` cannot be a plugin's name"), NAME_FORM);
        } else if plugins.contains(&name) {
            section.bad_value(&place, format!("`{name}` is named twice"), "once is enough");
        } else {
            plugins.push(name);
        }
    }
    plugins
}

fn catch_up(section: &mut Section<'_>) -> CatchUpPolicy {
    let usual = CatchUpPolicy::default();
    let choices = [("none", CatchUpMode::None), ("last", CatchUpMode::Last), ("all", CatchUpMode::All)];
    let mode = section.choice("catch_up", &choices).unwrap_or(usual.mode);
    for (key, wanted) in [("catch_up_limit", "all"), ("catch_up_max_age", "last\" or \"all")] {
        let pointless = match mode {
            CatchUpMode::None => true,
            CatchUpMode::Last => key == "catch_up_limit",
            CatchUpMode::All => false,
        };
        if let Some(place) = section.ask(key).map(|entry| entry.key.clone()).filter(|_| pointless) {
            let mistake = Mistake::new("config-unused", place, format!("`{key}` is for `catch_up = \"{wanted}\"`"));
            section.reading.mistake(
                mistake.label("this schedule catches up otherwise").help("leave it out, or change `catch_up`"),
            );
        }
    }
    let limit = section.integer("catch_up_limit", usual.limit.into(), 1..=1000);
    CatchUpPolicy {
        mode,
        limit: limit.try_into().unwrap_or(usual.limit),
        max_age_ms: section.duration_ms("catch_up_max_age", SECOND_MS..=31 * DAY_MS).unwrap_or(usual.max_age_ms),
        grace_ms: section.duration_ms("grace", 0..=DAY_MS).unwrap_or(usual.grace_ms),
    }
}

fn days_off(section: &mut Section<'_>, files: &mut Files) -> DaysOff {
    let mut days_off = DaysOff::default();
    if let Some(node) = section.ask("except").map(|entry| &entry.node) {
        let items = if let Value::Array(items) = &node.value { items.as_slice() } else { &[] };
        if items.is_empty() {
            section.wrong_type(node, "except", "an array of dates", "except = [\"2026-12-25\"]");
        }
        for item in items {
            let (Value::String(text) | Value::Datetime(text)) = &item.value else {
                section.wrong_type(item, "except", "an array of dates", "except = [\"2026-12-25\"]");
                continue;
            };
            match TimeSpec::parse(text) {
                Some((TimeSpec::Local(midnight), true)) => _ = days_off.dates.insert(midnight.date()),
                _ => section.bad_value(&item.place, format!("`{text}` is no date"), "such as \"2026-12-25\""),
            }
        }
    }
    if let Some((name, place)) = section.string("holidays") {
        let path = section.reading.base.join(&name);
        let holidays = files.entry(path.clone()).or_insert_with(|| {
            read_holidays(section, &path)
                .map_err(|why| {
                    let mistake = Mistake::new(
                        "config-unreadable",
                        place,
                        format!("the holidays in {} cannot be used", path.display()),
                    );
                    section.reading.mistake(
                        mistake.label(why).help("name a file in iCalendar's form (.ics), as calendars export it"),
                    );
                })
                .ok()
        });
        days_off.holidays = holidays.clone();
    }
    days_off
}

fn read_holidays(section: &Section<'_>, path: &Path) -> Result<Arc<Holidays>, String> {
    let size = std::fs::metadata(path).map_err(|why| why.to_string())?.len();
    if size > HOLIDAYS_BYTES {
        return Err(format!("it has {size} bytes, and such a file has {HOLIDAYS_BYTES} at most"));
    }
    let text = std::fs::read_to_string(path).map_err(|why| why.to_string())?;
    let holidays = Holidays::parse(&text).map_err(|why| why.to_string())?;
    if holidays.timed > 0 {
        let note = format!(
            "{}: {} entries have a time of day and are left out: holidays are whole days",
            path.display(),
            holidays.timed
        );
        section.reading.notes.borrow_mut().push(note);
    }
    Ok(Arc::new(holidays))
}

fn payload(section: &mut Section<'_>) -> serde_json::Value {
    let Some(entry) = section.ask("payload") else { return serde_json::Value::Null };
    let payload = json(section, &entry.node);
    let bytes = payload.to_string().len();
    if bytes > PAYLOAD_BYTES {
        section.bad_value(
            &entry.node.place,
            format!("`payload` has {bytes} bytes"),
            format!("{PAYLOAD_BYTES} at most: each firing keeps its own"),
        );
    }
    payload
}
