//! What each fuzz target does with its bytes. No input may make it panic, hang or exhaust memory.
//!
//! The configuration, the API's types and the command line's views are modules of the daemon's
//! program, so they are included as source here.

#[path = "../../../daemon/beadle/src/api/mod.rs"]
mod api;
#[path = "../../../daemon/beadle/src/cli"]
mod cli {
    pub mod show;
    pub mod table;
}
#[path = "../../../daemon/beadle/src/config/mod.rs"]
mod config;
/// The part of the daemon's module that the configuration uses.
mod token {
    pub fn parse_hash(text: &str) -> Option<[u8; 32]> {
        text.as_bytes().first_chunk().copied()
    }
}
#[path = "../../../daemon/beadle/src/web"]
mod web {
    pub mod summary;
    mod thin;
}

use beadle_clock::Clock;
use beadle_model::keyword::Language;
use beadle_model::{EventBody, Outgoing, Timestamp};
use beadle_sandbox::fuzz::Host;
use beadle_schedule::{Holidays, Pattern, Zone};
use beadle_store::{Store, StoreConfig};
use beadle_whatsapp::{App, AppConfig, Secret};
use cli::show;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// What is done with the bytes.
pub type Target = fn(&[u8]);

/// The targets: the programs in `fuzz/fuzz_targets`, and folders of `fuzz/seeds`.
pub const TARGETS: [(&str, Target); 9] = [
    ("webhook", webhook),
    ("configuration", configuration),
    ("schedules", schedules),
    ("calendar", calendar),
    ("cron", cron),
    ("settings", settings),
    ("host_inputs", host_inputs),
    ("plugin_file", plugin_file),
    ("display", display),
];

const NOW: Timestamp = Timestamp(1_795_424_400_000);

/// The body of a webhook: parsed, and every event survives storage and conversion for display.
pub fn webhook(data: &[u8]) {
    static APP: OnceLock<App> = OnceLock::new();
    let app = APP.get_or_init(|| {
        App::new(AppConfig {
            name: "main".into(),
            verify_token: Secret::new("verify"),
            app_secret: Secret::new("secret"),
            channels: [("106540352242922".into(), "shop".into())].into(),
            accounts: [("102290129340398".into(), vec!["shop".into()])].into(),
            install: "abcd".into(),
            brand: "Shop".into(),
            language: Language::En,
            own_words: Default::default(),
            topics: Vec::new(),
            language_from_number: true,
        })
    });
    let parsed = app.parse(data, NOW);
    for event in &parsed.events {
        let stored = serde_json::to_string(&event.body).expect("an event is JSON");
        // Not equal: a number with a fraction may differ in its last bit.
        serde_json::from_str::<beadle_model::EventBody>(&stored).expect("a stored event can be read");
    }
    for rejected in &parsed.rejected {
        assert!(rejected.error.len() < 2000, "the error text is bounded");
        // What is retried is read again, and rejected for the same reason or not at all.
        app.parse(&rejected.body, NOW);
    }
}

/// A configuration file.
pub fn configuration(data: &[u8]) {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| folder().join("beadle.toml"));
    std::fs::write(path, data).expect("the file is written");
    let environment =
        config::Environment { variable: Box::new(|_| None), without_systemd: true, unsettled: Duration::ZERO };
    if let Err(invalid) = config::load(path, &environment) {
        assert!(invalid.render(false).len() < 4 * 1024 * 1024, "the report is bounded");
    }
}

/// `[[schedule]]` tables, added to a valid configuration; and what is computed from them.
pub fn schedules(data: &[u8]) {
    const VALID: &str = "[daemon]\ndata_dir = \"/var/lib/beadle\"\n[apps.main]\nkind = \"whatsapp-cloud\"\n\
        access_token = { env = \"A\" }\napp_secret = { env = \"B\" }\nverify_token = { env = \"C\" }\n\
        [channels.shop]\napp = \"main\"\nphone_number_id = \"106540352242922\"\n[plugins.echo]\n[[schedule]]\n";
    configuration(&[VALID.as_bytes(), data].concat());
}

/// A holiday file.
pub fn calendar(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(holidays) = Holidays::parse(text) {
        let end = holidays.end();
        for date in [jiff::civil::date(2027, 4, 27), jiff::civil::date(1, 1, 1), jiff::civil::date(9999, 12, 31)] {
            let holiday = holidays.on(date);
            assert!(holiday.is_none() || end.is_some_and(|end| date <= end) || end.is_none());
        }
    }
}

/// A cron pattern: a zone's number, then the pattern.
pub fn cron(data: &[u8]) {
    const ZONES: [&str; 4] = ["Europe/Amsterdam", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia"];
    let Some((zone, pattern)) = data.split_first() else { return };
    let Ok(pattern) = std::str::from_utf8(pattern) else { return };
    let zone = ZONES.get(usize::from(zone % 4)).and_then(|zone| Zone::named(zone)).expect("a known zone");
    for pattern in [Pattern::cron(pattern), Pattern::monthly(pattern)].into_iter().flatten() {
        let mut after = NOW;
        for _ in 0..8 {
            let Some(moment) = pattern.next(&zone, after) else { break };
            assert!(moment.at > after, "time goes forward");
            after = moment.at;
        }
    }
}

/// A JSON Schema and settings, separated by a line with `---`.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (schema, settings) = text.split_once("\n---\n").unwrap_or((text, "{}"));
    beadle_catalog::fuzz::settings(schema, settings);
}

/// Calls of a hostile guest to the host's functions.
pub fn host_inputs(data: &[u8]) {
    static HOST: OnceLock<(Store, Host)> = OnceLock::new();
    let (_, host) = HOST.get_or_init(|| {
        let config = StoreConfig { ballast_bytes: 0, readers: 1, ..StoreConfig::new(folder(), Clock::real()) };
        let store = Store::open(config).expect("an empty store");
        let host = Host::new(store.reader().clone());
        (store, host)
    });
    host.run(data);
}

/// A plugin's file: what it exports and imports, read before any of its code is compiled.
pub fn plugin_file(data: &[u8]) {
    let _ = beadle_sandbox::subscriptions(data);
}

/// A stored event or message, or a response of the daemon, as text for a person: its kind on the
/// first line, then JSON.
pub fn display(data: &[u8]) {
    can_display(data);
}

/// Whether [`display`] shows such an input; it says nothing about others.
pub fn can_display(data: &[u8]) -> bool {
    let text = std::str::from_utf8(data).unwrap_or_default();
    let Some((kind, json)) = text.split_once('\n') else { return false };
    match kind {
        "stored event" => {
            let Ok(body) = serde_json::from_str::<EventBody>(json) else { return false };
            let summary = web::summary::event(&body);
            let mut row = json!({ "id": "evt_1", "kind": body.kind().name(), "happened_at": AT, "received_at": AT,
                "channel": "shop", "contact": "con_1", "name": &summary, "ending": "passed", "summary": &summary });
            assert_fits(&show(show::events, &list(&row)));
            row["now"] = AT.into();
            row["handlings"] =
                json!([{ "id": "hnd_1.1", "plugin": "echo", "state": "dead", "attempts": 1, "error": &summary }]);
            row["messages"] = json!([]);
            row["body"] = serde_json::to_value(&body).expect("an event is JSON");
            show(show::event, &row);
            show(show::why, &json!({ "now": AT, "id": "evt_1", "steps": [{ "object": "evt_1", "text": &summary }] }));
        }
        "stored message" => {
            let Ok(body) = serde_json::from_str::<Outgoing>(json) else { return false };
            let row = json!({ "id": "msg_1", "plugin": "echo", "conversation": "cnv_1", "state": "queued", "due_at": AT,
                "created_at": AT, "attempts": 0, "possibly_duplicate": false, "summary": web::summary::outgoing(&body) });
            assert_fits(&show(show::outbox, &list(&row)));
        }
        _ => {
            let Some((_, view)) = VIEWS.iter().find(|(name, _)| *name == kind) else { return false };
            let Ok(response) = serde_json::from_str(json) else { return false };
            return !show(*view, &response).is_empty();
        }
    }
    true
}

const AT: &str = "2026-11-21T20:36:00Z";
/// Columns of the terminal: enough for what is never cut.
const WIDTH: usize = 120;

type View = fn(Value, show::Screen) -> show::Result;

/// Commands and how their responses are shown.
const VIEWS: &[(&str, View)] = &[
    ("status", show::status),
    ("why", show::why),
    ("events list", show::events),
    ("events show", show::event),
    ("events tail", |response, _| show::event_line(response).map(Into::into)),
    ("outbox list", show::outbox),
    ("dead-letters list", show::dead_letters),
    ("dead-letters show", show::dead_letter),
    ("dead-letters retry", |response, _| show::done(response)),
    ("contacts list", show::contacts),
    ("contacts show", show::contact),
    ("contacts duplicates", show::duplicates),
    ("contacts merge", |response, _| show::merge(response)),
    ("windows list", show::windows),
    ("plugins list", show::plugins),
    ("plugins show", show::plugin),
    ("plugins documents", show::documents),
    ("plugins state", show::state),
    ("schedules list", show::schedules),
    ("schedules show", show::schedule),
    ("schedules next", show::next_firings),
    ("schedules history", show::firings),
    ("schedules run", show::schedule_dry_run),
];

fn list(row: &Value) -> Value {
    json!({ "now": AT, "items": [row] })
}

/// Shows a response in a pipe and on a terminal, and returns the latter.
fn show(view: View, response: &Value) -> String {
    let outputs = [None, Some(WIDTH)].map(|width| view(response.clone(), show::Screen { width }));
    let texts = outputs.into_iter().flatten().map(|output| {
        for text in output.hints.iter().map(String::as_str).chain(output.text.lines()) {
            let unsafe_here = text.chars().find(|c| c.is_control() || beadle_model::text::is_hidden(*c));
            assert!(unsafe_here.is_none(), "prints {unsafe_here:?}: {text}");
        }
        output.text
    });
    texts.last().unwrap_or_default()
}

/// Whatever a row holds, each line fits on the terminal.
fn assert_fits(text: &str) {
    for line in text.lines() {
        assert!(unicode_width::UnicodeWidthStr::width(line) <= WIDTH, "too wide: {line}");
    }
}

/// A folder of this process, in memory where there is such a file system.
fn folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = folder.join(format!("beadle-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for files");
    folder
}
