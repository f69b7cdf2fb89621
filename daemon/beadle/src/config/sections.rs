//! What each section may hold, its defaults and its limits.
//!
//! A default stands here once, and `config/beadle.toml` explains it (a test holds that no key is missing there). What
//! several sections must agree about (a channel's app, one number in one channel) is checked here too.

use super::mistake::{Mistake, Place};
use super::read::{Reading, Section, list, with_guess};
use super::tree::{Node, Table, Value};
use super::{
    Admin, App, Channel, Config, Contacts, DEFAULT_SOCKET, Daemon, Http, Keywords, Log, LogFormat, Media, Outbox,
    schedules,
};
use beadle_catalog::PluginConfig;
use beadle_catalog::grants::{DEFAULT, GRANTABLE};
use beadle_model::LeadTimes;
use beadle_model::keyword::Language;
use beadle_model::window::MAX_LEAD_TIMES;
use beadle_pipeline::outbox::{OnAmbiguous, Pace};
use beadle_pipeline::{OnFailure, Stage};
use beadle_sandbox::{Isolation, Limits};
use beadle_schedule::Zone;
use beadle_store::Retention;
use beadle_whatsapp::Secret;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

const SECOND_MS: i64 = 1000;
const HOUR_MS: i64 = 60 * 60 * SECOND_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Reads all of it. Where there is a mistake, a default stands in and the mistake is noted.
pub fn config(reading: &Reading<'_>, tree: &Table) -> Config {
    let mut root = Section::root(reading, tree);
    let apps = apps(&mut root);
    let channels = channels(&mut root, &apps);
    let (retention, retention_removed_ms) = retention(root.section("retention"));
    let daemon = daemon(root.section("daemon"));
    let config = Config {
        schedules: schedules::schedules(&mut root, &daemon.timezone),
        daemon,
        http: http(root.section("http")),
        admin: admin(root.section("admin")),
        keywords: keywords(root.section("keywords")),
        contacts: contacts(root.section("contacts")),
        apps,
        outbox: outbox(root.section("outbox")),
        windows: windows(root.section("windows")),
        media: media(root.section("media")),
        plugins: root.named("plugins").into_iter().map(|(name, section)| (name, plugin(section, &channels))).collect(),
        channels,
        retention,
        retention_removed_ms,
        log: log(root.section("log")),
    };
    root.end();
    config
}

fn daemon(mut section: Section<'_>) -> Daemon {
    let data_dir = section.path("data_dir", "/var/lib/beadle");
    let dirs = section.strings("plugin_dirs").map_or_else(
        || vec!["/usr/local/lib/beadle/plugins".into(), "/usr/lib/beadle/plugins".into()],
        |dirs| dirs.into_iter().map(|(dir, _)| dir).collect(),
    );
    let plugin_dirs = dirs.iter().map(|dir| section.reading.base.join(dir)).collect();
    let usual = beadle_catalog::Config::default();
    let poll_interval_ms = section.duration_ms("poll_interval", SECOND_MS..=HOUR_MS).unwrap_or(usual.poll_interval_ms);
    let folder_grace_ms = section.duration_ms("folder_grace", 0..=DAY_MS).unwrap_or(usual.folder_grace_ms);
    let timezone = section.string("timezone").and_then(|named| schedules::zone(&section, "timezone", &named, &[]));
    let startup_timeout_ms = section.duration_ms("startup_timeout", 1..=HOUR_MS).unwrap_or(usual.startup_timeout_ms);
    section.end();
    let timezone = timezone.unwrap_or_else(Zone::utc);
    Daemon { data_dir, plugin_dirs, poll_interval_ms, folder_grace_ms, timezone, startup_timeout_ms }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn http(mut section: Section<'_>) -> Http {
    let listen = section.address("listen", loopback(8420));
    section.end();
    Http { listen }
}

fn admin(mut section: Section<'_>) -> Admin {
    let listen = section.address("listen", loopback(8421));
    if !listen.ip().is_loopback() {
        let note =
            format!("[admin] listen = \"{listen}\": whoever reaches this address can read and change everything");
        section.reading.notes.borrow_mut().push(note);
    }
    let socket = section.path("socket", DEFAULT_SOCKET);
    section.end();
    Admin { listen, socket }
}

fn keywords(mut section: Section<'_>) -> Keywords {
    let brand = section.string("brand").map_or_else(String::new, |(brand, _)| brand);
    let languages =
        [("en", Language::En), ("nl", Language::Nl), ("de", Language::De), ("pt", Language::Pt), ("et", Language::Et)];
    let language = section.choice("language", &languages).unwrap_or(Language::En);
    section.end();
    Keywords { brand, language }
}

fn contacts(mut section: Section<'_>) -> Contacts {
    let language_from_number = section.boolean("language_from_number", false);
    section.end();
    Contacts { language_from_number }
}

fn apps(root: &mut Section<'_>) -> BTreeMap<String, App> {
    root.named("apps").into_iter().map(|(name, section)| (name, app(section))).collect()
}

fn app(mut section: Section<'_>) -> App {
    match section.required("kind", "whatsapp-cloud") {
        Some((kind, place)) if kind != "whatsapp-cloud" => {
            section.bad_value(&place, format!("there is no kind `{kind}`"), "only \"whatsapp-cloud\" so far");
        }
        _ => {}
    }
    let graph_url = url(&mut section, "graph_url", "https://graph.facebook.com"); // tidy: a default is the configuration's to say
    let version = section.string("graph_version").map(|(version, place)| {
        let numbered = version.strip_prefix('v').and_then(|number| number.split_once('.'));
        if !numbered.is_some_and(|(major, minor)| major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok()) {
            section.bad_value(&place, format!("`{version}` is not a version"), "such as \"v26.0\"");
        }
        version
    });
    let none = || Secret::new("");
    let app = App {
        graph_url,
        graph_version: version.unwrap_or_else(|| "v26.0".into()),
        access_token: section.secret("access_token").unwrap_or_else(none),
        app_secret: section.secret("app_secret").unwrap_or_else(none),
        verify_token: section.secret("verify_token").unwrap_or_else(none),
    };
    section.end();
    app
}

fn url(section: &mut Section<'_>, key: &'static str, default: &str) -> String {
    let Some((text, place)) = section.string(key) else { return default.into() };
    match reqwest::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => {}
        _ => section.bad_value(&place, format!("`{text}` is not a base address"), format!("such as \"{default}\"")),
    }
    text.trim_end_matches('/').into()
}

fn channels(root: &mut Section<'_>, apps: &BTreeMap<String, App>) -> BTreeMap<String, Channel> {
    let mut numbers: BTreeMap<String, Place> = BTreeMap::new();
    let names: Vec<&str> = apps.keys().map(String::as_str).collect();
    let mut channels = BTreeMap::new();
    for (name, mut section) in root.named("channels") {
        let app = section.required("app", names.first().unwrap_or(&"main"));
        if let Some((app, place)) = app.as_ref().filter(|(app, _)| !apps.contains_key(app)) {
            let mistake = Mistake::new("config-value", place.clone(), format!("there is no app `{app}`"));
            let mistake = mistake.label(format!("add `[apps.{app}]`, or name one of these: {}", list(&names)));
            section.reading.mistake(with_guess(mistake, app, &names));
        }
        let number = section.required("phone_number_id", "106540352242922");
        if let Some((number, place)) = &number {
            digits(&section, "phone_number_id", number, place);
            if let Some(first) = numbers.insert(number.clone(), place.clone()) {
                let mistake = Mistake::new("config-duplicate", place.clone(), "two channels have this number");
                let mistake = mistake.label("here again").also(first, "here first");
                section.reading.mistake(mistake.help("one number is one channel"));
            }
        }
        let account = section.string("business_account_id");
        if let Some((account, place)) = &account {
            digits(&section, "business_account_id", account, place);
        }
        let pace = pace(section.section("pace"));
        section.end();
        let channel = Channel {
            app: app.map(|(app, _)| app).unwrap_or_default(),
            phone_number_id: number.map(|(number, _)| number).unwrap_or_default(),
            business_account_id: account.map(|(account, _)| account),
            pace,
        };
        channels.insert(name, channel);
    }
    channels
}

fn digits(section: &Section<'_>, key: &str, text: &str, place: &Place) {
    if !text.chars().all(|c| c.is_ascii_digit()) {
        section.bad_value(
            place,
            format!("`{key}` is digits"),
            "as Meta's app dashboard shows it; not the phone number",
        );
    }
}

/// A number that fits the type because its limits do.
fn number(section: &mut Section<'_>, key: &'static str, default: u32, limits: std::ops::RangeInclusive<u32>) -> u32 {
    let limits = i64::from(*limits.start())..=i64::from(*limits.end());
    section.integer(key, default.into(), limits).try_into().unwrap_or(default)
}

fn pace(mut section: Section<'_>) -> Pace {
    let pace = Pace {
        // Cloud API throughput: 80 by default, 1,000 once the platform has raised a number; the gate counts to a million.
        messages_per_second: number(&mut section, "messages_per_second", 80, 1..=1_000_000),
        // The platform's pair rate: one in 6 seconds, 45 at once (error 131056 beyond).
        contact_seconds: number(&mut section, "contact_seconds", 6, 0..=3600),
        contact_burst: number(&mut section, "contact_burst", 45, 1..=1000),
    };
    section.end();
    pace
}

fn outbox(mut section: Section<'_>) -> Outbox {
    let choices = [("hold", OnAmbiguous::Hold), ("resend", OnAmbiguous::Resend)];
    let outbox = Outbox {
        on_ambiguous: section.choice("on_ambiguous", &choices).unwrap_or_default(),
        ambiguous_wait_ms: section.duration_ms("ambiguous_wait", SECOND_MS..=DAY_MS).unwrap_or(60 * SECOND_MS),
        // 1,000 a second at the platform's usual 200 ms; more open requests would be memory and no speed.
        max_in_flight: number(&mut section, "max_in_flight", 256, 1..=4096) as usize,
    };
    section.end();
    outbox
}

/// How long before their end plugins are told of windows.
fn windows(mut section: Section<'_>) -> LeadTimes {
    let usual = [2 * HOUR_MS, HOUR_MS / 2];
    let leads_ms = section.durations_ms("expiring_before", SECOND_MS..=23 * HOUR_MS, MAX_LEAD_TIMES);
    section.end();
    LeadTimes::new(leads_ms.unwrap_or_else(|| usual.to_vec()))
}

fn plugin(mut section: Section<'_>, channels: &BTreeMap<String, Channel>) -> PluginConfig {
    let stages = [("guard", Stage::Guard), ("answer", Stage::Answer), ("observe", Stage::Observe)];
    let stage = section.choice("stage", &stages).unwrap_or_default();
    let order = section.integer("order", 0, i64::from(i32::MIN)..=i64::from(i32::MAX));
    let failures = [("hold", OnFailure::Hold), ("skip", OnFailure::Skip)];
    let on_failure_at = section.ask("on_failure").map(|entry| entry.key.clone());
    let on_failure = section.choice("on_failure", &failures);
    if let (Some(place), true) = (on_failure_at, stage != Stage::Guard) {
        let mistake = Mistake::new("config-unused", place, "`on_failure` is for guards");
        section.reading.mistake(mistake.label("this plugin is none").help("add `stage = \"guard\"` or leave it out"));
    }
    let isolations = [("warm", Isolation::Warm), ("per-event", Isolation::PerEvent)];
    let plugin = PluginConfig {
        stage,
        order,
        on_failure: on_failure.unwrap_or_default(),
        isolation: section.choice("isolation", &isolations).unwrap_or_default(),
        grant: grant(&mut section),
        channels: may_send_through(&mut section, channels),
        settings: settings(&mut section),
        limits: limits(section.section("limits")),
        max_age_ms: section.duration_ms("max_age", SECOND_MS..=365 * DAY_MS),
        documents: section.string("documents").map(|(folder, _)| section.reading.base.join(folder)),
    };
    section.end();
    plugin
}

fn grant(section: &mut Section<'_>) -> Vec<String> {
    let capabilities = GRANTABLE.map(|(capability, _)| capability);
    let mut granted = Vec::new();
    for (capability, place) in section.strings("grant").unwrap_or_default() {
        if DEFAULT.contains(&capability.as_str()) {
            let mistake =
                Mistake::new("config-unused", place, format!("every plugin has the capability `{capability}`"));
            section.reading.mistake(mistake.label("leave it out"));
        } else if !capabilities.contains(&capability.as_str()) {
            let mistake = Mistake::new("config-value", place, format!("there is no capability `{capability}`"));
            let mistake = mistake.label(format!("capabilities to grant: {}", list(&capabilities)));
            section.reading.mistake(with_guess(mistake, &capability, &capabilities));
        } else {
            granted.push(capability);
        }
    }
    granted
}

/// The channels that a plugin may send through, each of which there is.
fn may_send_through(section: &mut Section<'_>, channels: &BTreeMap<String, Channel>) -> Option<Vec<String>> {
    let there: Vec<&str> = channels.keys().map(String::as_str).collect();
    let mut through = Vec::new();
    for (name, place) in section.strings("channels")? {
        if channels.contains_key(&name) {
            through.push(name);
        } else {
            let mistake = Mistake::new("config-value", place, format!("there is no channel `{name}`"));
            let mistake = mistake.label(format!("channels: {}", list(&there)));
            section.reading.mistake(with_guess(mistake, &name, &there));
        }
    }
    Some(through)
}

fn media(mut section: Section<'_>) -> Media {
    let fetch = section.boolean("fetch", true);
    // What the platform takes of a document at most; 32 MiB are more than any photo or voice message has.
    let mib = number(&mut section, "max_file_mib", 32, 1..=100);
    section.end();
    Media { fetch, max_file_bytes: u64::from(mib) << 20 }
}

fn settings(section: &mut Section<'_>) -> serde_json::Value {
    let empty = || serde_json::Value::Object(serde_json::Map::new());
    let Some(entry) = section.ask("settings") else { return empty() };
    if !matches!(entry.node.value, Value::Table(_)) {
        section.wrong_type(&entry.node, "settings", "a table", "settings = { key = \"value\" }");
        return empty();
    }
    json(section, &entry.node)
}

/// Any TOML as JSON: dates and times as strings.
pub(super) fn json(section: &Section<'_>, node: &Node) -> serde_json::Value {
    match &node.value {
        Value::String(text) | Value::Datetime(text) => text.clone().into(),
        Value::Integer(number) => (*number).into(),
        Value::Boolean(yes) => (*yes).into(),
        Value::Array(items) => items.iter().map(|item| json(section, item)).collect(),
        Value::Table(table) => table.0.iter().map(|(key, entry)| (key.clone(), json(section, &entry.node))).collect(),
        Value::Float(number) => serde_json::Number::from_f64(*number).map_or_else(
            || {
                section.bad_value(&node.place, format!("{number} cannot be here"), "JSON has no such number");
                serde_json::Value::Null
            },
            Into::into,
        ),
    }
}

fn limits(mut section: Section<'_>) -> Limits {
    let usual = Limits::default();
    let limits = Limits {
        // JavaScript and Python want 256; a component has 4 GiB of addresses at most.
        memory_mib: number(&mut section, "memory_mib", usual.memory_mib, 1..=4096),
        cpu_ms: number(&mut section, "cpu_ms", usual.cpu_ms, 1..=60_000),
        wall_ms: number(&mut section, "wall_ms", usual.wall_ms, 1..=600_000),
        state_mib: number(&mut section, "state_mib", usual.state_mib, 0..=65_536),
        // The contract promises 256; the database is no place for films.
        value_kib: number(&mut section, "value_kib", usual.value_kib, 1..=16_384),
        media_mib: number(&mut section, "media_mib", usual.media_mib, 0..=65_536),
        effects: number(&mut section, "effects", usual.effects, 0..=10_000),
        log_kib: number(&mut section, "log_kib", usual.log_kib, 0..=1024),
    };
    section.end();
    limits
}

fn retention(mut section: Section<'_>) -> (Retention, i64) {
    let usual = Retention::default();
    let mut kept =
        |key, least_days, usual_ms| section.duration_ms(key, least_days * DAY_MS..=3650 * DAY_MS).unwrap_or(usual_ms);
    let retention = Retention {
        // For a week the platform repeats a webhook, and has to be recognised.
        events_ms: kept("events", 8, usual.events_ms),
        // For a month it may still tell what became of a message.
        outbox_ms: kept("messages", 31, usual.outbox_ms),
        dead_ms: kept("dead_letters", 1, usual.dead_ms),
        media_ms: kept("media", 1, usual.media_ms),
        media_bytes: usual.media_bytes,
        states_ms: usual.states_ms,
    };
    let removed_ms = kept("removed_plugins", 0, beadle_catalog::Config::KEEP_REMOVED_MS);
    let mib = i64::from(number(
        &mut section,
        "media_mib",
        u32::try_from(usual.media_bytes >> 20).unwrap_or(0),
        0..=16_777_216,
    ));
    let retention = Retention { media_bytes: mib << 20, states_ms: removed_ms, ..retention };
    section.end();
    (retention, removed_ms)
}

fn log(mut section: Section<'_>) -> Log {
    let level = section.string("level").map_or_else(
        || "info".into(),
        |(level, place)| {
            if let Err(why) = level.parse::<tracing_subscriber::filter::Targets>() {
                let label = format!("`error`, `warn`, `info`, `debug`, `trace` or `crate=level,…` ({why})");
                section.bad_value(&place, format!("`{level}` is not a level"), label);
            }
            level
        },
    );
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("journal", LogFormat::Journal)];
    let format = section.choice("format", &formats).unwrap_or(LogFormat::Auto);
    section.end();
    Log { level, format }
}
