//! The sections of the configuration: their keys, defaults and limits, and the rules between
//! sections (a channel names an existing app, a phone number belongs to one channel).
//!
//! Every key is explained in `config/beadle.toml`; a test checks that none is missing there.

use super::costs;
use super::diagnostic::{Diagnostic, Span};
use super::read::{Context, Section, number};
use super::settings::{
    Admin, ApiAccess, App, Channel, Config, DEFAULT_SOCKET, Daemon, Http, Keywords, Log, LogFormat, Media, Outbox,
};
use super::tree::{Table, Value};
use super::{egress, hooks, people, schedules, segments};
use beadle_catalog::PluginConfig;
use beadle_catalog::grants::{DEFAULT, GRANTABLE};
use beadle_gate::StopSwitch;
use beadle_gatekeeper::{MarketingCaps, Policy, QuietFor, QuietHours, TimeOfDay};
use beadle_model::LeadTimes;
use beadle_model::keyword::Language;
use beadle_model::phone::WrittenNumber;
use beadle_model::time::{DAY_MS, HOUR_MS};
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

/// Reads the whole configuration. An invalid value is reported and replaced by its default.
pub fn config(context: &Context<'_>, tree: &Table) -> Config {
    let mut root = Section::root(context, tree);
    let apps = apps(&mut root);
    let channels = channels(&mut root, &apps);
    let (retention, retention_removed_ms) = retention(root.section("retention"));
    let daemon = daemon(root.section("daemon"));
    let keywords = keywords(root.section("keywords"));
    let rates = costs::costs(root.section("costs"));
    let channel_names: Vec<&str> = channels.keys().map(String::as_str).collect();
    let budgets = costs::budgets(&mut root, rates.as_ref(), &channel_names);
    let rates = rates.unwrap_or_default();
    let contacts = people::contacts(root.section("contacts"));
    let http = http(root.section("http"));
    let (consents, consent_form) = people::consents(root.section("consents"), &keywords, &channel_names, &http);
    let named = segments::Named {
        contacts: &contacts,
        channels: channel_names,
        consents: &consents,
        timezone: &daemon.timezone,
    };
    let segments = segments::segments(&mut root, &named);
    let (mut plugins, mut policies, mut hooks) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (name, mut section) in root.named("plugins") {
        let policy = egress::policy(&mut section, &name);
        let plugin_hooks = hooks::hooks(&mut section, &policy);
        plugins.insert(name.clone(), plugin(section, &channels));
        if !plugin_hooks.is_empty() {
            hooks.insert(name.clone(), plugin_hooks);
        }
        if policy != Default::default() {
            policies.insert(name, policy);
        }
    }
    let config = Config {
        schedules: schedules::schedules(&mut root, &daemon.timezone),
        daemon,
        http,
        admin: admin(root.section("admin")),
        contacts,
        consents,
        consent_form,
        segments,
        keywords,
        apps,
        outbox: outbox(root.section("outbox")),
        gate: Policy { rates, budgets, ..gate(root.section("gate")) },
        broadcasts: broadcasts(root.section("broadcasts")),
        windows: windows(root.section("windows")),
        media: media(root.section("media")),
        egress: egress::egress(root.section("egress")),
        plugins,
        policies,
        hooks,
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
    let plugin_dirs = dirs.iter().map(|dir| section.context.base.join(dir)).collect();
    let default = beadle_catalog::Config::default();
    let poll_interval_ms =
        section.duration_ms("poll_interval", SECOND_MS..=HOUR_MS).unwrap_or(default.poll_interval_ms);
    let folder_grace_ms = section.duration_ms("folder_grace", 0..=DAY_MS).unwrap_or(default.folder_grace_ms);
    let timezone = section.string("timezone").and_then(|named| schedules::zone(&section, "timezone", &named, &[]));
    let startup_timeout_ms = section.duration_ms("startup_timeout", 1..=HOUR_MS).unwrap_or(default.startup_timeout_ms);
    section.end();
    let timezone = timezone.unwrap_or_else(Zone::utc);
    Daemon { data_dir, plugin_dirs, poll_interval_ms, folder_grace_ms, timezone, startup_timeout_ms }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn http(mut section: Section<'_>) -> Http {
    let listen = section.address("listen", loopback(8420));
    let behind_proxy = section.boolean("behind_proxy", false);
    section.end();
    Http { listen, behind_proxy }
}

fn admin(mut section: Section<'_>) -> Admin {
    let listen = section.address_or_off("listen", loopback(8421));
    let token = section.string("token_sha256").and_then(|(text, span)| {
        let hash = crate::token::parse_hash(&text);
        if hash.is_none() {
            let label = "created by `beadle token`";
            section.invalid(&span, "`token_sha256` must be 64 hexadecimal digits", label);
        }
        hash
    });
    let api = match (section.boolean("open_api", false), token) {
        (true, _) => ApiAccess::Open,
        (false, Some(hash)) => ApiAccess::Token(hash),
        (false, None) => ApiAccess::Closed,
    };
    if let Some(listen) = listen
        && api == ApiAccess::Open
    {
        let note = format!("anyone who reaches {listen} can read and change everything");
        let span = section.get("open_api").map(|entry| entry.key.clone());
        section.context.warn("admin-open", span, note);
    }
    let socket = section.path("socket", DEFAULT_SOCKET);
    section.end();
    Admin { listen, api, socket }
}

fn keywords(mut section: Section<'_>) -> Keywords {
    let brand = section.string("brand").map_or_else(String::new, |(brand, _)| brand.trim().into());
    let languages =
        [("en", Language::En), ("nl", Language::Nl), ("de", Language::De), ("pt", Language::Pt), ("et", Language::Et)];
    let language = section.choice("language", &languages).unwrap_or(Language::En);
    section.end();
    Keywords { brand, language }
}

fn apps(root: &mut Section<'_>) -> BTreeMap<String, App> {
    root.named("apps").into_iter().map(|(name, section)| (name, app(section))).collect()
}

fn app(mut section: Section<'_>) -> App {
    match section.required("kind", "whatsapp-cloud") {
        Some((kind, span)) if kind != "whatsapp-cloud" => {
            section.invalid(&span, "`kind` must be `whatsapp-cloud`", format!("`{kind}` is not supported"));
        }
        _ => {}
    }
    let graph_url = url(&mut section, "graph_url", "https://graph.facebook.com"); // tidy: a default is the configuration's to say
    let version = section.string("graph_version").map(|(version, span)| {
        let numbered = version.strip_prefix('v').and_then(|number| number.split_once('.'));
        if !numbered.is_some_and(|(major, minor)| major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok()) {
            section.invalid(&span, "`graph_version` must be a version of the Graph API", "such as \"v26.0\"");
        }
        version
    });
    let none = || Secret::new("");
    let app = App {
        graph_url,
        portfolio: section.string("portfolio").map(|(name, _)| name),
        graph_version: version.unwrap_or_else(|| "v26.0".into()),
        access_token: section.secret("access_token").unwrap_or_else(none),
        app_secret: section.secret("app_secret").unwrap_or_else(none),
        verify_token: section.secret("verify_token").unwrap_or_else(none),
    };
    section.end();
    app
}

fn url(section: &mut Section<'_>, key: &'static str, default: &str) -> String {
    let Some((text, span)) = section.string(key) else { return default.into() };
    match reqwest::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => {}
        _ => section.invalid(
            &span,
            format!("`{key}` must be an http or https URL without a query"),
            format!("such as \"{default}\""),
        ),
    }
    text.trim_end_matches('/').into()
}

fn channels(root: &mut Section<'_>, apps: &BTreeMap<String, App>) -> BTreeMap<String, Channel> {
    let mut numbers: BTreeMap<String, Span> = BTreeMap::new();
    let names: Vec<&str> = apps.keys().map(String::as_str).collect();
    let mut channels = BTreeMap::new();
    for (name, mut section) in root.named("channels") {
        let app = section.required("app", names.first().unwrap_or(&"main"));
        if let Some((app, span)) = app.as_ref().filter(|(app, _)| !apps.contains_key(app)) {
            section.unknown_name(span.clone(), "app", app, &names);
        }
        let number = section.required("phone_number_id", "106540352242922");
        if let Some((number, span)) = &number {
            digits(&section, "phone_number_id", number, span);
            if let Some(first) = numbers.insert(number.clone(), span.clone()) {
                let diagnostic =
                    Diagnostic::new("config-duplicate", span.clone(), "two channels have the same `phone_number_id`");
                let diagnostic = diagnostic.label("used again here").related(first, "first used here");
                section.context.report(diagnostic.help("a phone number belongs to one channel"));
            }
        }
        let phone_number = phone_number(&mut section);
        let account = section.string("business_account_id");
        if let Some((account, span)) = &account {
            digits(&section, "business_account_id", account, span);
        }
        let pace = pace(section.section("pace"));
        section.end();
        let channel = Channel {
            app: app.map(|(app, _)| app).unwrap_or_default(),
            phone_number_id: number.map(|(number, _)| number).unwrap_or_default(),
            phone_number,
            business_account_id: account.map(|(account, _)| account),
            pace,
        };
        channels.insert(name, channel);
    }
    channels
}

fn phone_number(section: &mut Section<'_>) -> Option<String> {
    let (text, span) = section.string("phone_number")?;
    let number = WrittenNumber::parse(&text);
    if number.is_none() {
        let label = "such as \"+31 6 12345678\"";
        section.invalid(&span, "`phone_number` must be a phone number with country code", label);
    }
    number.map(|number| number.digits)
}

fn digits(section: &Section<'_>, key: &str, text: &str, span: &Span) {
    if text.chars().all(|c| c.is_ascii_digit()) {
        return;
    }
    let place = "the id is in the Meta app dashboard under WhatsApp > API Setup";
    let label = if text.starts_with('+') { format!("this is a phone number; {place}") } else { place.into() };
    section.invalid(span, format!("`{key}` must contain only digits"), label);
}

fn pace(mut section: Section<'_>) -> Pace {
    let pace = Pace {
        // Cloud API throughput: 80 by default, 1,000 after an upgrade; the gate supports up to a
        // million.
        messages_per_second: number(&mut section, "messages_per_second", 80, 1..=1_000_000),
        // WhatsApp's pair rate: one message every 6 seconds, 45 at once (error 131056 above).
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
        // 1,000 messages a second at WhatsApp's usual 200 ms; more would cost memory and gain no
        // speed.
        max_in_flight: number(&mut section, "max_in_flight", 256, 1..=4096) as usize,
    };
    section.end();
    outbox
}

/// What the other sections say is added by `run/build.rs`.
fn gate(mut section: Section<'_>) -> Policy {
    let stops = [("none", StopSwitch::Open), ("marketing", StopSwitch::Marketing), ("all", StopSwitch::All)];
    let stop = section.choice("stop", &stops).unwrap_or_default();
    let refuses_advertising = section.choice("advertising", &[("refuse", true), ("allow", false)]).unwrap_or(true);
    let template_language = section.string("template_language").map(|(language, _)| language);
    let join_replies = section.boolean("join_replies", false);
    let no_marketing_in = countries(&mut section, "no_marketing_in");
    let (quiet_hours, quiet_for) = quiet_hours(section.section("quiet_hours"));
    let caps = marketing_caps(section.section("marketing_caps"));
    section.end();
    Policy {
        stop,
        refuses_advertising,
        template_language,
        join_replies,
        quiet_hours,
        quiet_for,
        caps,
        no_marketing_in: no_marketing_in.unwrap_or(Policy::default().no_marketing_in),
        ..Policy::default()
    }
}

/// Countries by their two letters of ISO 3166.
fn countries(section: &mut Section<'_>, key: &'static str) -> Option<Vec<String>> {
    let countries = section.strings(key)?;
    let is_country = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    for (text, span) in countries.iter().filter(|(text, _)| !is_country(text)) {
        section.invalid(span, format!("`{text}` is not a country"), "two letters of ISO 3166, such as \"US\"");
    }
    Some(countries.into_iter().map(|(text, _)| text).collect())
}

fn quiet_hours(mut section: Section<'_>) -> (Option<QuietHours>, QuietFor) {
    let mut time = |key: &'static str| {
        let (text, span) = section.string(key)?;
        let parsed = time_of_day(&text);
        if parsed.is_none() {
            section.invalid(&span, format!("`{key}` must be a time of day"), "such as \"21:30\"");
        }
        Some((parsed?, span))
    };
    let (from, to) = (time("from"), time("to"));
    let choices = [("marketing", QuietFor::Marketing), ("outreach", QuietFor::Outreach)];
    let quiet_for = section.choice("applies_to", &choices).unwrap_or(QuietFor::Marketing);
    let hours = match (from, to) {
        (Some((from, _)), Some((to, span))) if from == to => {
            section.invalid(&span, "`to` must differ from `from`", "quiet hours of no length");
            None
        }
        (Some((from, _)), Some((to, _))) => Some(QuietHours { from, to }),
        (Some((_, span)), None) => {
            section.invalid(&span, "`from` needs `to`", "add `to = \"08:00\"`");
            None
        }
        (None, Some((_, span))) => {
            section.invalid(&span, "`to` needs `from`", "add `from = \"21:00\"`");
            None
        }
        (None, None) => None,
    };
    section.end();
    (hours, quiet_for)
}

/// `21:30`
fn time_of_day(text: &str) -> Option<TimeOfDay> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, limit: i8| {
        let is_short = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i8>().ok().filter(|number| is_short && *number < limit)
    };
    Some(TimeOfDay { hour: number(hour, 24)?, minute: number(minute, 60).filter(|_| minute.len() == 2)? })
}

fn marketing_caps(mut section: Section<'_>) -> MarketingCaps {
    // 0: no limit. A person who gets a hundred a day is not asked about.
    let mut cap = |key| Some(number(&mut section, key, 0, 0..=100)).filter(|cap| *cap > 0);
    let caps =
        MarketingCaps { per_day: cap("per_day"), per_week: cap("per_week"), topic_per_week: cap("topic_per_week") };
    section.end();
    caps
}

fn broadcasts(mut section: Section<'_>) -> beadle_broadcast::Settings {
    let default = beadle_broadcast::Settings::default();
    let approval_above = section.integer("approval_above", 1000, 0..=1_000_000_000).unsigned_abs();
    let mut percent = |key, default| number(&mut section, key, default, 0..=100);
    let max_failed_percent = percent("max_failed_percent", default.max_failed_percent);
    let max_opt_out_percent = percent("max_opt_out_percent", default.max_opt_out_percent);
    let min_messages = section.integer("min_messages", 100, 1..=1_000_000).unsigned_abs();
    section.end();
    beadle_broadcast::Settings { approval_above, max_failed_percent, max_opt_out_percent, min_messages }
}

/// `[windows] expiring_before`
fn windows(mut section: Section<'_>) -> LeadTimes {
    let default_ms = [2 * HOUR_MS, HOUR_MS / 2];
    let leads_ms = section.durations_ms("expiring_before", SECOND_MS..=23 * HOUR_MS, MAX_LEAD_TIMES);
    section.end();
    LeadTimes::new(leads_ms.unwrap_or_else(|| default_ms.to_vec()))
}

fn plugin(mut section: Section<'_>, channels: &BTreeMap<String, Channel>) -> PluginConfig {
    let stages = [("guard", Stage::Guard), ("answer", Stage::Answer), ("observe", Stage::Observe)];
    let stage = section.choice("stage", &stages).unwrap_or_default();
    let order = section.integer("order", 0, i64::from(i32::MIN)..=i64::from(i32::MAX));
    let failures = [("hold", OnFailure::Hold), ("skip", OnFailure::Skip)];
    let on_failure_at = section.get("on_failure").map(|entry| entry.key.clone());
    let on_failure = section.choice("on_failure", &failures);
    if let (Some(place), true) = (on_failure_at, stage != Stage::Guard) {
        let diagnostic =
            Diagnostic::new("config-unused", place, "`on_failure` has no effect: this plugin is not a guard");
        section.context.report(diagnostic.label("only guards use it").help("remove it, or add `stage = \"guard\"`"));
    }
    let isolations = [("warm", Isolation::Warm), ("per-event", Isolation::PerEvent)];
    let plugin = PluginConfig {
        stage,
        order,
        on_failure: on_failure.unwrap_or_default(),
        isolation: section.choice("isolation", &isolations).unwrap_or_default(),
        grant: grant(&mut section),
        channels: allowed_channels(&mut section, channels),
        settings: settings(&mut section),
        limits: limits(section.section("limits")),
        max_age_ms: section.duration_ms("max_age", SECOND_MS..=365 * DAY_MS),
        documents: section.string("documents").map(|(folder, _)| section.context.base.join(folder)),
    };
    section.end();
    plugin
}

fn grant(section: &mut Section<'_>) -> Vec<String> {
    let grantable = GRANTABLE.map(|(capability, _)| capability);
    let mut granted = Vec::new();
    for (capability, span) in section.strings("grant").unwrap_or_default() {
        if DEFAULT.contains(&capability.as_str()) {
            let message = format!("granting `{capability}` has no effect: every plugin has it");
            section.context.report(Diagnostic::new("config-unused", span, message).label("remove it"));
        } else if !grantable.contains(&capability.as_str()) {
            section.unknown_name(span, "capability", &capability, &grantable);
        } else {
            granted.push(capability);
        }
    }
    granted
}

/// The channels that a plugin may send through; none is all.
fn allowed_channels(section: &mut Section<'_>, channels: &BTreeMap<String, Channel>) -> Option<Vec<String>> {
    let known: Vec<&str> = channels.keys().map(String::as_str).collect();
    let mut allowed = Vec::new();
    for (name, span) in section.strings("channels")? {
        if channels.contains_key(&name) {
            allowed.push(name);
        } else {
            section.unknown_name(span, "channel", &name, &known);
        }
    }
    Some(allowed)
}

fn media(mut section: Section<'_>) -> Media {
    let fetch = section.boolean("fetch", true);
    // WhatsApp's maximum for documents is 100 MB; 32 MiB exceed any photo or voice message.
    let mib = number(&mut section, "max_file_mib", 32, 1..=100);
    section.end();
    Media { fetch, max_file_bytes: u64::from(mib) << 20 }
}

fn settings(section: &mut Section<'_>) -> serde_json::Value {
    let empty = || serde_json::Value::Object(serde_json::Map::new());
    let Some(entry) = section.get("settings") else { return empty() };
    if !matches!(entry.node.value, Value::Table(_)) {
        section.wrong_type(&entry.node, "settings", "a table", "settings = { key = \"value\" }");
        return empty();
    }
    section.json(&entry.node)
}

fn limits(mut section: Section<'_>) -> Limits {
    let default = Limits::default();
    let limits = Limits {
        // Plugins in JavaScript and Python need 256; a component addresses at most 4 GiB.
        memory_mib: number(&mut section, "memory_mib", default.memory_mib, 1..=4096),
        cpu_ms: number(&mut section, "cpu_ms", default.cpu_ms, 1..=60_000),
        wall_ms: number(&mut section, "wall_ms", default.wall_ms, 1..=600_000),
        state_mib: number(&mut section, "state_mib", default.state_mib, 0..=65_536),
        // The contract guarantees 256; larger data belongs into files.
        value_kib: number(&mut section, "value_kib", default.value_kib, 1..=16_384),
        media_mib: number(&mut section, "media_mib", default.media_mib, 0..=65_536),
        effects: number(&mut section, "effects", default.effects, 0..=10_000),
        log_kib: number(&mut section, "log_kib", default.log_kib, 0..=1024),
    };
    section.end();
    limits
}

fn retention(mut section: Section<'_>) -> (Retention, i64) {
    let default = Retention::default();
    let mut duration_of =
        |key, min_days, default_ms| section.duration_ms(key, min_days * DAY_MS..=3650 * DAY_MS).unwrap_or(default_ms);
    let retention = Retention {
        // WhatsApp repeats a webhook for up to 7 days, and it must be recognised.
        events_ms: duration_of("events", 8, default.events_ms),
        // Receipts may arrive for up to 30 days.
        outbox_ms: duration_of("messages", 31, default.outbox_ms),
        dead_ms: duration_of("dead_letters", 1, default.dead_ms),
        media_ms: duration_of("media", 1, default.media_ms),
        media_bytes: default.media_bytes,
        states_ms: default.states_ms,
        requests_ms: duration_of("requests", 1, default.requests_ms),
        erased_identities_ms: duration_of("erased_identities", 1, default.erased_identities_ms),
        unanswered_ms: duration_of("unanswered_people", 31, default.unanswered_ms),
        upgrade_copies_ms: duration_of("upgrade_copies", 1, default.upgrade_copies_ms),
    };
    let removed_ms = duration_of("removed_plugins", 0, beadle_catalog::Config::KEEP_REMOVED_MS);
    let mib = i64::from(number(
        &mut section,
        "media_mib",
        u32::try_from(default.media_bytes >> 20).unwrap_or(0),
        0..=16_777_216,
    ));
    let retention = Retention { media_bytes: mib << 20, states_ms: removed_ms, ..retention };
    section.end();
    (retention, removed_ms)
}

fn log(mut section: Section<'_>) -> Log {
    let level = section.string("level").map_or_else(
        || "info".into(),
        |(level, span)| {
            if let Err(error) = level.parse::<tracing_subscriber::filter::Targets>() {
                let message = "`level` must be `error`, `warn`, `info`, `debug`, `trace` or `crate=level,…`";
                section.invalid(&span, message, error.to_string());
            }
            level
        },
    );
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("journal", LogFormat::Journal)];
    let format = section.choice("format", &formats).unwrap_or(LogFormat::Auto);
    section.end();
    Log { level, format }
}
