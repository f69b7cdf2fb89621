//! `[[schedule]]`: its keys, and which of them can be combined.
//!
//! A schedule is identified by its name. Everything that can be wrong is reported here, including
//! holiday files, so that the scheduler never has to reject a schedule.

use super::diagnostic::{Diagnostic, Span};
use super::read::{NAME_FORM, Section, Text, is_name};
use super::tree::Value;
use beadle_model::time::DAY_MS;
use beadle_schedule::{
    CatchUpMode, CatchUpPolicy, DEFAULT_ANCHOR, DaysOff, Holidays, Overlap, Pattern, PatternError, Schedule, TimeSpec,
    Zone, Zones,
};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECOND_MS: i64 = 1000;
/// All schedules are evaluated again when the plugins or the clock change; this many take a second.
const MAX_SCHEDULES: usize = 50_000;
/// Every firing stores its payload with its event.
const MAX_PAYLOAD_BYTES: usize = 64 * 1024;
/// Far above any calendar of public holidays.
const MAX_HOLIDAYS_BYTES: u64 = 1024 * 1024;

/// A schedule has exactly one of these keys.
const PATTERN_KEYS: [&str; 4] = ["cron", "every", "at", "monthly"];

/// Holiday files by path, each read once.
type HolidayFiles = HashMap<PathBuf, Option<Arc<Holidays>>>;

/// All schedules, in the order of the files.
pub fn schedules(root: &mut Section<'_>, home: &Zone) -> Vec<Arc<Schedule>> {
    let mut spans: BTreeMap<String, Span> = BTreeMap::new();
    let mut files = HolidayFiles::new();
    let sections = root.tables("schedule");
    if let Some(beyond) = sections.get(MAX_SCHEDULES) {
        let span = beyond.span.clone().unwrap_or_default();
        beyond.invalid(&span, format!("there must be at most {MAX_SCHEDULES} schedules"), "one too many");
    }
    let mut renamed = Vec::new();
    let mut schedules = Vec::new();
    for mut section in sections.into_iter().take(MAX_SCHEDULES) {
        let name = section.required("name", "weekly-digest").filter(|(name, span)| {
            if !is_name(name) {
                section.invalid(span, format!("invalid name `{name}`"), NAME_FORM);
            }
            true
        });
        if let Some((name, span)) = &name
            && let Some(first) = spans.insert(name.clone(), span.clone())
        {
            let message = format!("two schedules have the name `{name}`");
            let diagnostic = Diagnostic::new("config-duplicate", span.clone(), message);
            let diagnostic = diagnostic.label("used again here").related(first, "first used here");
            section.context.report(diagnostic.help("rename one of them"));
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
    for (name, span) in renamed.iter().filter(|(name, _)| spans.contains_key(name)) {
        root.invalid(
            span,
            "`renamed_from` must be the name of a schedule that no longer exists",
            format!("`{name}` still exists"),
        );
    }
    schedules
}

/// A schedule without its name; `None` after an error that no default can replace.
fn schedule(section: &mut Section<'_>, home: &Zone, files: &mut HolidayFiles) -> Option<Schedule> {
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
        && let Some(span) = section.get("until").map(|entry| entry.node.span.clone())
    {
        section.invalid(&span, "`until` must not be before `from`", "the schedule would never fire");
    }
    let ((source, pattern), zones) = (pattern?, zone?);
    Some(Schedule { source, pattern, zones, ..schedule })
}

/// A time zone by name; `also`: other words that the key accepts, for the error message.
pub fn zone(section: &Section<'_>, key: &str, (name, span): &Text, also: &[&str]) -> Option<Zone> {
    let zone = Zone::named(name);
    if zone.is_none() {
        let diagnostic = Diagnostic::new("config-value", span.clone(), format!("unknown time zone `{name}`"));
        let also: String = also.iter().map(|word| format!(", or \"{word}\"")).collect();
        let diagnostic = diagnostic.label(format!("must be an IANA time zone, such as \"Europe/Amsterdam\"{also}"));
        section.context.report(match Zone::suggest(name) {
            Some(near) => diagnostic.help(format!("did you mean `{key} = \"{near}\"`?")),
            None => diagnostic,
        });
    }
    zone
}

/// The pattern, with its key and text.
fn pattern(section: &mut Section<'_>) -> Option<((&'static str, String), Pattern)> {
    let found: Vec<(&'static str, Span)> =
        PATTERN_KEYS.iter().filter_map(|key| section.get(key).map(|entry| (*key, entry.key.clone()))).collect();
    let anchor = when(section, "anchor");
    let key = match found.as_slice() {
        [] => {
            let span = section.span.clone().unwrap_or_default();
            let message = "a schedule must have a pattern: `cron`, `every`, `at` or `monthly`";
            let diagnostic = Diagnostic::new("config-missing", span, message).label("required in this table");
            section.context.report(diagnostic.help("add one, such as `cron = \"0 9 * * MON\"`"));
            return None;
        }
        [(key, _)] => *key,
        [(first, first_span), (second, second_span), ..] => {
            let message = format!("a schedule must have one pattern, not both `{first}` and `{second}`");
            let diagnostic = Diagnostic::new("config-unused", second_span.clone(), message);
            let diagnostic = diagnostic.label("second pattern").related(first_span.clone(), "first pattern");
            section.context.report(diagnostic.help("remove one, or write two schedules"));
            return None;
        }
    };
    if let Some((.., anchor)) = anchor.as_ref().filter(|_| key != "every") {
        let message = format!("`anchor` has no effect on `{key}`");
        let diagnostic = Diagnostic::new("config-unused", anchor.clone(), message);
        section.context.report(diagnostic.label("only `every` uses it").help("remove it"));
    }
    let (text, pattern) = match key {
        "cron" | "monthly" => {
            let (text, span) = section.string(key)?;
            let parsed = if key == "cron" { Pattern::cron(&text) } else { Pattern::monthly(&text) };
            let report = |PatternError { problem, hint }| section.invalid(&span, problem, hint);
            let pattern = parsed.map_err(report).ok()?;
            (text, pattern)
        }
        "every" => {
            let period_ms = section.duration_ms("every", SECOND_MS..=3660 * DAY_MS)?;
            let anchor = anchor.map_or(TimeSpec::Local(DEFAULT_ANCHOR), |(anchor, ..)| anchor);
            (section.string("every").map(|(text, _)| text)?, Pattern::Every { period_ms, anchor })
        }
        _ => {
            let (at, is_date, span) = when(section, "at")?;
            if is_date {
                section.invalid(&span, "`at` must have a time of day", "such as \"2026-12-24T18:00\"");
                return None;
            }
            (text_of(section, "at")?, Pattern::At(at))
        }
    };
    Some(((key, text), pattern))
}

/// The text of a string or of a TOML date or time.
fn text_of(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    match &section.get(key)?.node.value {
        Value::String(text) | Value::Datetime(text) => Some(text.clone()),
        _ => None,
    }
}

/// A date or a point in time, whether it is a date, and its place.
fn when(section: &mut Section<'_>, key: &'static str) -> Option<(TimeSpec, bool, Span)> {
    let node = &section.get(key)?.node;
    let (Value::String(text) | Value::Datetime(text)) = &node.value else {
        section.wrong_type(node, key, "a date or time", &format!("{key} = \"2026-12-24T18:00\""));
        return None;
    };
    let Some((when, is_date)) = TimeSpec::parse(text) else {
        let label =
            "such as \"2026-12-24T18:00\" in the schedule's time zone, or with an offset: \"2026-12-24T18:00+01:00\"";
        section.invalid(&node.span, format!("`{key}` must be a date or time"), label);
        return None;
    };
    Some((when, is_date, node.span.clone()))
}

/// A date includes the whole day.
fn until(section: &mut Section<'_>) -> Option<TimeSpec> {
    let (until, is_date, _) = when(section, "until")?;
    Some(match until {
        TimeSpec::Local(midnight) if is_date => TimeSpec::Local(midnight.date().at(23, 59, 59, 0)),
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
        (Some((_, span)), Some(_)) => {
            let message = "a schedule must have either `plugin` or `plugins`";
            let diagnostic = Diagnostic::new("config-unused", span, message).label("`plugins` is set too");
            section.context.report(diagnostic.help("move it into `plugins`, or remove `plugins`"));
            return Vec::new();
        }
        (Some(one), None) => vec![one],
        (None, Some(several)) => several,
    };
    if named.is_empty()
        && let Some(span) = section.get("plugins").map(|entry| entry.node.span.clone())
    {
        section.invalid(&span, "`plugins` must not be empty", "name at least one plugin");
    }
    let mut plugins: Vec<String> = Vec::new();
    for (name, span) in named {
        if !is_name(&name) {
            section.invalid(&span, format!("invalid plugin name `{name}`"), NAME_FORM);
        } else if plugins.contains(&name) {
            section.invalid(&span, format!("`plugins` contains `{name}` twice"), "remove it");
        } else {
            plugins.push(name);
        }
    }
    plugins
}

fn catch_up(section: &mut Section<'_>) -> CatchUpPolicy {
    let default = CatchUpPolicy::default();
    let choices = [("none", CatchUpMode::None), ("last", CatchUpMode::Last), ("all", CatchUpMode::All)];
    let mode = section.choice("catch_up", &choices).unwrap_or(default.mode);
    for (key, wanted) in [("catch_up_limit", "all"), ("catch_up_max_age", "last\" or \"all")] {
        let is_unused = match mode {
            CatchUpMode::None => true,
            CatchUpMode::Last => key == "catch_up_limit",
            CatchUpMode::All => false,
        };
        if let Some(span) = section.get(key).map(|entry| entry.key.clone()).filter(|_| is_unused) {
            let message = format!("`{key}` has no effect without `catch_up = \"{wanted}\"`");
            let diagnostic = Diagnostic::new("config-unused", span, message).label("not used with this `catch_up`");
            section.context.report(diagnostic.help("remove it, or change `catch_up`"));
        }
    }
    let limit = section.integer("catch_up_limit", default.limit.into(), 1..=1000);
    CatchUpPolicy {
        mode,
        limit: limit.try_into().unwrap_or(default.limit),
        max_age_ms: section.duration_ms("catch_up_max_age", SECOND_MS..=31 * DAY_MS).unwrap_or(default.max_age_ms),
        grace_ms: section.duration_ms("grace", 0..=DAY_MS).unwrap_or(default.grace_ms),
    }
}

fn days_off(section: &mut Section<'_>, files: &mut HolidayFiles) -> DaysOff {
    let mut days_off = DaysOff::default();
    if let Some(node) = section.get("except").map(|entry| &entry.node) {
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
                _ => section.invalid(&item.span, "`except` must contain only dates", "such as \"2026-12-25\""),
            }
        }
    }
    if let Some((name, span)) = section.string("holidays") {
        let path = section.context.base.join(&name);
        let holidays = files.entry(path.clone()).or_insert_with(|| {
            read_holidays(section, &path, Some(&span))
                .map_err(|reason| {
                    let message = format!("cannot read holidays from {}", path.display());
                    let diagnostic = Diagnostic::new("config-unreadable", span, message).label(reason);
                    section.context.report(diagnostic.help("name an iCalendar file (.ics), as exported by calendars"));
                })
                .ok()
        });
        days_off.holidays = holidays.clone();
    }
    days_off
}

fn read_holidays(section: &Section<'_>, path: &Path, span: Option<&Span>) -> Result<Arc<Holidays>, String> {
    section.context.note_input(path);
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_HOLIDAYS_BYTES {
        return Err(format!("the file has {size} bytes, the maximum is {MAX_HOLIDAYS_BYTES}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let holidays = Holidays::parse(&text).map_err(|error| error.to_string())?;
    if holidays.timed > 0 {
        let note = format!(
            "{}: {} entries with a time of day are ignored, because holidays are whole days",
            path.display(),
            holidays.timed
        );
        section.context.warn("schedule-holidays-timed", span.cloned(), note);
    }
    Ok(Arc::new(holidays))
}

fn payload(section: &mut Section<'_>) -> serde_json::Value {
    let Some(entry) = section.get("payload") else { return serde_json::Value::Null };
    let payload = section.json(&entry.node);
    let bytes = payload.to_string().len();
    if bytes > MAX_PAYLOAD_BYTES {
        section.invalid(
            &entry.node.span,
            format!("`payload` must have at most {MAX_PAYLOAD_BYTES} bytes as JSON"),
            format!("this has {bytes} bytes"),
        );
    }
    payload
}
