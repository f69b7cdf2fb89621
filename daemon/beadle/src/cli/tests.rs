//! Help texts and tables, compared with golden files in `tests/cli`.

use super::Cli;
use super::command::query;
use super::show::{self, Screen};
use clap::{CommandFactory as _, Parser as _};
use serde_json::{Value, json};

fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn help_texts_match_the_golden_file() {
    fn walk(command: &mut clap::Command, path: &str, text: &mut String) {
        let help = command.clone().render_help().to_string();
        text.push_str(&format!("==== {path} --help\n{help}\n"));
        let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        for name in names.iter().filter(|name| *name != "help") {
            let sub = command.find_subcommand_mut(name).unwrap();
            walk(sub, &format!("{path} {name}"), text);
        }
    }
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text = String::new();
    walk(&mut command, "beadle", &mut text);
    golden("help", &text);
}

const NOW: i64 = 1_795_293_360_000;

/// A time stamp as the API writes it.
fn at(ms: i64) -> String {
    beadle_model::Timestamp(ms).to_string()
}

fn event(id: &str, kind: &str, ago: i64, name: Option<&str>, ending: &str, summary: &str) -> Value {
    let contact = name.map(|_| "con_7");
    json!({"id": id, "kind": kind, "happened_at": at(NOW - ago), "received_at": at(NOW - ago + 80), "channel": contact.map(|_| "shop"),
           "contact": contact, "name": name, "ending": ending, "summary": summary})
}

fn message(id: &str, state: &str) -> Value {
    let receipt = (state == "accepted").then_some("delivered");
    json!({"id": id, "event": "evt_12", "plugin": "welcome", "conversation": "cnv_9", "state": state, "receipt": receipt,
           "due_at": at(NOW - 5_000), "created_at": at(NOW - 6_000), "attempts": 1, "possibly_duplicate": false, "platform_id": "wamid.X",
           "summary": "Hello Ana! Welcome to De Buurt. These are the rules, please read them to the end: be kind."})
}

fn plugin(name: &str, problem: Value) -> Value {
    json!({"name": name, "state": if problem.is_null() { "active" } else { "broken" }, "problem": problem, "stage": "answer",
           "order": 0, "version": "0.1.0", "summary": "Greets", "revision": "0123456789ab", "path": format!("/usr/lib/{name}.wasm"),
           "events": ["on-message", "on-member-joined"], "requested_capabilities": ["replies", "state", "messages"], "granted_capabilities": ["messages"],
           "settings_schema": {"type": "object"}, "earlier_revisions": ["ba9876543210"], "rolled_back": "001122334455",
           "load_steps": [{"name": "read", "ms": 0.2}, {"name": "compile", "ms": 31.25}], "calls": 12, "failed_calls": 1,
           "capabilities": [{"name": "state", "allows": "store values, within its quota", "granted": "default"},
                      {"name": "messages", "allows": "write to people first", "granted": "command"}],
           "limits": [{"key": "memory_mib", "limit": 32, "used": 1.19}]})
}

/// The output of a command for a response; hints as they appear on stderr.
fn output_of(line: &str, response: Value, width: Option<usize>) -> String {
    let cli = Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
    let query = query(&cli.command).unwrap_or_else(|| panic!("{line} is no query"));
    let output = (query.show)(response, Screen { width }).unwrap();
    let hints: String = output.hints.iter().map(|hint| format!("hint: {hint}\n")).collect();
    format!("$ {line}\n{}{hints}\n", output.text)
}

#[test]
fn lists_and_views_match_the_golden_file() {
    let problem = json!({"code": "plugin-corrupt", "message": "the file is truncated"});
    let dead = json!({"id": "hnd_12.4", "plugin": "welcome", "event": "evt_12", "given_up_at": at(NOW - 90_000_000), "attempts": 3,
        "code": "cpu-limit", "error": "used more than 100 ms", "answered": true, "summary": "message: hi"});
    let contact = json!({"id": "con_7", "name": "Ana", "language": "pt", "created_at": at(NOW - 400_000_000),
        "member_since": at(NOW - 300_000)});
    let stopped = json!({"id": "con_8", "created_at": at(NOW - 400_000_000), "opted_out_since": at(NOW - 300_000)});
    let events = json!([
        event("evt_12", "message", 65_000, Some("Ana"), "claimed by welcome", "hi\nthere"),
        event("evt_11", "timer", 90_000_000, None, "passed", "rules")
    ]);
    let list = |items: Value, next: Value| json!({"now": at(NOW), "items": items, "next": next});
    let mut event_view = event("evt_12", "message", 65_000, Some("Ana"), "claimed by welcome", "hi");
    event_view["now"] = at(NOW).into();
    event_view["conversation"] = "cnv_9".into();
    event_view["body"] = json!({"event": "message", "content": {"kind": "text", "value": "hi"}});
    event_view["messages"] = json!([message("msg_3", "accepted")]);
    event_view["handlings"] = json!([{"id": "hnd_12.2", "plugin": "crm", "state": "dead", "attempts": 5, "code": "trap",
        "error": "unreachable"}, {"id": "hnd_12.3", "plugin": "crm2", "state": "failing", "attempts": 1, "code": "trap",
        "error": "unreachable", "next_at": at(NOW + 3000)}]);
    let mut contact_view = contact.clone();
    contact_view["now"] = at(NOW).into();
    contact_view["possible_duplicates"] = json!(["phone 351912345678 was also used by con_9"]);
    contact_view["unreachable"] = json!({"since": at(NOW - 7_200_000), "code": "131026"});
    contact_view["aliases"] = json!(["phone 351912345678", "user-id PT.1"]);
    contact_view["conversations"] = json!([
        {"id": "cnv_9", "channel": "shop", "window_until": at(NOW + 3_660_000)},
        {"id": "cnv_10", "channel": "shop", "last_inbound_at": at(NOW - 90_000_000), "window_until": at(NOW - 60_000)}
    ]);
    let status = json!({"now": at(NOW), "version": "0.1.0", "started_at": at(NOW - 200_000_000), "phase": "running",
        "problems": [
            {"code": "channel-stopped", "message": "shop does not send: The access token has expired"},
            // As `Invalid::message` writes it.
            {"code": "config-unknown", "message": "unknown key `outbox.max`\n --> /etc/beadle/beadle.toml:9:1\n  |\n9 | max = 3\n  | ^^^"}],
        "events_open": 3, "oldest_open_at": at(NOW - 2000), "queued": 2, "sending": 1, "dead_letters": 1,
        "channels": [{"name": "help", "app": "main", "phone_number_id": "2", "state": "open"},
            {"name": "shop", "app": "other", "phone_number_id": "1", "state": "stopped: The access token has expired"}],
        "plugins": [plugin("echo", Value::Null), plugin("broken", problem.clone())]});
    // A broken file was put over a working one.
    let mut outdated = plugin(
        "rules",
        json!({"code": "plugin-corrupt", "message":
        "the file is truncated; the earlier revision 0123456789ab stays active and handles events"}),
    );
    outdated["state"] = "active".into();
    let why = json!({"now": at(NOW), "id": "msg_3", "steps": [
        {"at": at(NOW - 65_000), "object": "evt_12", "text": "message from con_7 on shop: hi"},
        {"at": at(NOW - 64_000), "object": "msg_3", "text": "requested by welcome: Hello Ana!"},
        {"object": "gate window", "text": "now: the window is open until 2026-11-22 20:34:55 UTC"},
        {"object": "channel shop", "text": "now: stopped: The access token has expired"},
        {"at": at(NOW - 64_000), "object": "msg_3", "text": "queued, 1 attempt"}]});
    let cases = [
        ("beadle status", status, None),
        (
            "beadle plugins list",
            list(json!([plugin("echo", Value::Null), plugin("broken", problem), outdated.clone()]), Value::Null),
            None,
        ),
        ("beadle plugins show echo", plugin("echo", Value::Null), None),
        ("beadle plugins show rules", outdated, None),
        ("beadle events list", list(events.clone(), "evt_11".into()), None),
        ("beadle events list --limit 2", list(events, Value::Null), Some(80)),
        ("beadle events list --conversation cnv_1", list(json!([]), Value::Null), None),
        ("beadle events show evt_12", event_view, Some(100)),
        ("beadle dead-letters list --plugin welcome", list(json!([dead.clone()]), Value::Null), None),
        ("beadle dead-letters show hnd_12.4", dead, None),
        ("beadle outbox list", list(json!([message("msg_3", "sending")]), Value::Null), Some(100)),
        ("beadle outbox list", list(json!([]), Value::Null), None),
        ("beadle outbox list --state failed", list(json!([]), Value::Null), None),
        ("beadle contacts list", list(json!([contact, stopped]), "con_8".into()), None),
        ("beadle contacts show con_7", contact_view, None),
        (
            "beadle contacts duplicates",
            list(
                json!([{"contact": "con_7", "other": "con_9", "alias": "phone 351912345678", "seen_at": at(NOW - 60_000)}]),
                Value::Null,
            ),
            None,
        ),
        ("beadle why msg_3", why, None),
    ];
    let text: String = cases.into_iter().map(|(line, response, width)| output_of(line, response, width)).collect();
    golden("tables", &text);
}

#[test]
fn schedules_match_the_golden_file() {
    let list = |items: Value, next: Value| json!({"now": at(NOW), "items": items, "next": next});
    let time = |utc: &str| format!("{utc}:00.000Z");
    let firing = json!({"id": 9, "planned_at": time("2026-11-16T08:00"), "late_ms": 240_000, "plugin": "welcome",
        "outcome": "fired", "count": 1, "event": "evt_12", "handling": "done"});
    let missed = json!({"id": 7, "planned_at": time("2026-11-09T08:00"), "late_ms": 100_000_000, "plugin": "welcome",
        "outcome": "missed", "count": 3});
    let overrun = json!({"id": 8, "planned_at": time("2026-11-21T20:30"), "late_ms": 100_000_000, "plugin": "welcome",
        "outcome": "missed", "count": 10_000});
    let once = json!({"id": 3, "planned_at": time("2026-01-01T18:00"), "late_ms": 12, "plugin": "welcome",
        "outcome": "fired", "count": 1, "event": "evt_2", "handling": "done"});
    let moment =
        json!({"at": time("2026-11-23T08:00"), "local": "Mon 2026-11-23 09:00 CET", "timezone": "Europe/Amsterdam"});
    let digest = json!({"name": "digest", "pattern": "cron = \"0 9 * * MON\"", "description": "at 09:00 on Monday",
        "timezone": "Europe/Amsterdam", "plugins": ["welcome", "crm"], "state": "on", "next": moment, "last": firing});
    let ended = json!({"name": "party", "pattern": "at = \"2026-01-01T18:00\"", "description": "once, at 2026-01-01 18:00",
        "timezone": "UTC", "plugins": ["welcome"], "state": "ended", "last": once});
    let pulse = json!({"name": "pulse", "pattern": "every = \"1m\"", "description": "every minute", "timezone": "UTC",
        "plugins": ["welcome"], "state": "on", "next": {"at": time("2026-11-21T20:37"), "local": "Sat 2026-11-21 20:37 UTC",
        "timezone": "UTC"}, "last": overrun});
    let mut digest_view = digest.clone();
    digest_view["now"] = at(NOW).into();
    digest_view["settings"] = json!([["catch_up", "last, within 1d"], ["overlap", "queue"]]);
    digest_view["payload"] = json!({"update": "digest"});
    digest_view["zones"] = json!(["Europe/Amsterdam"]);
    digest_view["targets"] = json!([
        {"plugin": "welcome", "next_due_at": time("2026-11-23T08:00"), "decided_until": at(NOW)},
        {"plugin": "crm", "next_due_at": time("2026-11-16T08:00"), "decided_until": time("2026-11-09T08:00"), "problem":
            {"code": "schedule-plugin-unavailable", "message": "schedule `digest` names the plugin `crm`, but no plugin folder contains it"}}]);
    digest_view["warnings"] = json!([{"code": "schedule-holidays-end", "message": "the last holiday in its file is 2026-12-31; after that no day is excluded"}]);
    let moments = json!([
        // The last Sunday of each month at 02:30.
        {"at": time("2026-11-29T01:30"), "local": "Sun 2026-11-29 02:30 CET", "timezone": "Europe/Amsterdam"},
        {"at": time("2026-12-27T01:30"), "local": "Sun 2026-12-27 02:30 CET", "timezone": "Europe/Amsterdam", "excluded": "Christmas holidays"},
        {"at": time("2027-01-31T01:30"), "local": "Sun 2027-01-31 02:30 CET", "timezone": "Europe/Amsterdam", "excluded": "except"},
        {"at": time("2027-02-28T01:30"), "local": "Sun 2027-02-28 02:30 CET", "timezone": "Europe/Amsterdam", "due_at": "2027-02-28T01:30:30.000Z"},
        {"at": time("2027-03-28T01:00"), "local": "Sun 2027-03-28 03:00 CEST", "timezone": "Europe/Amsterdam",
         "note": "02:30 is skipped that day; fires at the first moment after the gap"}]);
    let planned = json!([
        {"plugin": "welcome", "timezone": "Europe/Amsterdam", "for_zone": true, "payload": {"update": "digest"}},
        {"plugin": "crm", "timezone": "Europe/Amsterdam", "for_zone": false, "problem":
            {"code": "schedule-not-exported", "message": "schedule `digest` names the plugin `crm`, but it does not export `on-schedule`"}}]);
    let cases = [
        ("beadle schedules list", list(json!([digest.clone(), ended, pulse]), "pulse".into()), Some(120)),
        ("beadle schedules show digest", digest_view, None),
        ("beadle schedules next backup --limit 5", list(moments, Value::Null), None),
        ("beadle schedules history digest", list(json!([firing, missed]), "7".into()), None),
        ("beadle schedules run digest --dry-run", list(planned, Value::Null), None),
    ];
    let text: String = cases.into_iter().map(|(line, response, width)| output_of(line, response, width)).collect();
    golden("schedules", &text);
}

#[test]
fn templates_and_the_gate_match_the_golden_file() {
    let row = |language: &str, status: &str| {
        json!({"name": "order_update", "language": language, "account": "102", "category": "utility", "status": status,
            "quality": "green", "changed_at": at(NOW - 3_600_000), "parameters": ["header: image", "1", "button 0"]})
    };
    let templates = json!({"now": at(NOW), "items": [row("en", "approved"), row("nl", "paused")], "next": "order_update/nl",
        "accounts": [{"account": "102", "channels": ["shop"], "templates": 2, "fetched_at": at(NOW - 60_000)},
            {"account": "103", "channels": ["club"], "templates": 0, "error": "The access token has expired (190)"}],
        "channels_without_account": ["help"]});
    let text = json!({"header": "[image]", "body": "Your order {{1}} is ready.\nA discount awaits.", "footer": "The shop",
        "buttons": ["Track"]});
    let mut details = row("en", "approved");
    details["text"] = text.clone();
    details["warnings"] = json!(["`discount` in the text is advertising; WhatsApp may make it a marketing template"]);
    details["components"] = json!([]);
    let view = json!({"now": at(NOW), "languages": [details]});
    let lint = json!({"now": at(NOW), "items": [{"name": "order_update", "language": "en", "part": "text", "word": "discount"}]});
    let preview = json!({"now": at(NOW), "template": row("en", "approved"), "text": text,
        "problem": {"code": "template-parameters", "message": "Template `order_update` in `en`: the text has 1 variable, but the message fills 0."}});
    let gate = json!({"now": at(NOW), "conversation": "cnv_9", "verdict": "template-needed", "category": "service",
        "problem": {"code": "window-closed", "message": "The 24-hour window closed at 2026-11-21 20:36:00 UTC."},
        "instead": "Send an approved template.",
        "checks": [{"check": "marketing", "outcome": "pass", "reason": "the recipient has not turned off marketing"},
            {"check": "window", "outcome": "refused", "reason": "The 24-hour window closed at 2026-11-21 20:36:00 UTC."}],
        "candidates": [{"name": "order_update", "language": "en", "category": "utility", "parameters": ["1"]}]});
    let later = json!({"now": at(NOW), "conversation": "cnv_9", "verdict": "later", "until": at(NOW + 3_600_000),
        "category": "marketing", "language": "en", "checks": [], "candidates": []});
    let cases = [
        ("beadle templates list", templates, None),
        ("beadle templates show order_update", view, None),
        ("beadle templates lint", lint, None),
        ("beadle templates preview order_update", preview, None),
        ("beadle gate explain con_7 --text hello", gate, None),
        ("beadle gate explain con_7 --template news", later, None),
    ];
    let text: String = cases.into_iter().map(|(line, response, width)| output_of(line, response, width)).collect();
    golden("templates", &text);
}

#[test]
fn costs_match_the_golden_file() {
    let row = |key: &str, messages: u64, free: u64, unpriced: u64, estimate: &str| json!({"key": key, "messages": messages, "free": free, "unpriced": unpriced, "estimate": estimate});
    let budget = |name: &str, used: &str, percent: u64, state: &str| {
        json!({"name": name, "period": "month", "from": "2026-11-01", "amount": "50.00", "used": used, "percent": percent,
            "unpriced": 0, "state": state})
    };
    let costs = json!({"now": at(NOW), "from": "2026-11-01", "to": "2026-11-21", "by": "country", "currency": "EUR",
        "rates": {"from": "2026-10-01", "source": "a test"},
        "items": [row("", 1, 0, 1, "0.00"), row("DE", 120, 20, 0, "17.00"), row("NL", 3, 0, 0, "0.1368")],
        "total": row("", 124, 20, 1, "17.1368"), "pending": row("", 2, 0, 0, "0.34"),
        "free_service": [{"channel": "shop", "used": 20, "limit": 1000}],
        "budgets": [budget("all", "17.4768", 34, "ok"), budget("news", "50.00", 100, "used-up")]});
    let none = json!({"now": at(NOW), "from": "2026-11-21", "to": "2026-11-21", "by": "category", "items": [],
        "total": row("", 0, 0, 0, "0.00"), "pending": row("", 0, 0, 0, "0.00"), "free_service": [], "budgets": []});
    let cases = [("beadle costs --by country", costs, None), ("beadle costs --from 2026-11-21", none, None)];
    let text: String = cases.into_iter().map(|(line, response, width)| output_of(line, response, width)).collect();
    golden("costs", &text);
}

#[test]
fn windows_match_the_golden_file() {
    let list = |items: Value| json!({"now": at(NOW), "items": items});
    let open = json!([
        {"conversation": "cnv_9", "channel": "shop", "contact": "con_7", "name": "Ana", "last_inbound_at": at(NOW - 82_800_000),
         "closes_at": at(NOW + 3_600_000), "free_entry_until": at(NOW + 172_800_000)},
        {"conversation": "cnv_12", "channel": "shop", "group": "Y2FwaQZD", "last_inbound_at": at(NOW - 60_000),
         "closes_at": at(NOW + 86_340_000)}
    ]);
    let hours = json!([{"channel": "help", "within_hours": 24, "windows": 1}, {"channel": "shop", "within_hours": 1,
        "windows": 12}, {"channel": "shop", "within_hours": 24, "windows": 30}]);
    let cases = [
        ("beadle windows list --channel shop", list(open)),
        ("beadle windows list --by-hour", list(hours)),
        ("beadle windows list --within 2h", list(json!([]))),
    ];
    golden("windows", &cases.into_iter().map(|(line, response)| output_of(line, response, None)).collect::<String>());
}

#[test]
fn segments_and_lists_match_the_golden_file() {
    let list = |items: Value, next: Value| json!({"now": at(NOW), "items": items, "next": next});
    let problem = json!({"code": "list-unknown", "message": "unknown list `friends` in segment `both`"});
    let segments = json!([
        {"name": "both", "where": "segment('vips') && list('friends')", "segments": ["vips"], "lists": ["friends"], "problem": problem},
        {"name": "vips", "where": "\"vip\" in tags &&\n  member", "description": "Invited to everything"}]);
    let tags = json!([{"name": "tags", "value": "berlin, vip"}]);
    let parts = json!([
        {"text": "\"vip\" in tags", "holds": true, "values": tags},
        {"text": "not", "holds": false, "parts": [
            {"text": "attributes.points > 3", "holds": true, "values": [{"name": "attributes.points", "value": "12"}]}]}]);
    let explained = json!({"now": at(NOW), "segment": "vips", "contact": "con_7", "name": "Ana", "member": false,
        "reason": {"text": "all of", "holds": false, "parts": parts}});
    let members = json!([{"contact": "con_7", "name": "Ana", "added_at": at(NOW - 3_600_000)}, {"contact": "con_9"}]);
    let lists = json!([{"name": "friends", "members": 2, "created_at": at(NOW - 90_000_000), "segments": ["both"]}]);
    let cases = [
        ("beadle segments list", list(segments, Value::Null)),
        ("beadle segments list", list(json!([]), Value::Null)),
        ("beadle segments count vips", json!({"now": at(NOW), "name": "vips", "members": 1, "people": 1840})),
        ("beadle segments members vips", list(members.clone(), json!("con_9"))),
        ("beadle segments explain vips con_7", explained),
        ("beadle lists list", list(lists, Value::Null)),
        ("beadle lists show friends", list(members, Value::Null)),
        ("beadle lists show friends", list(json!([]), Value::Null)),
    ];
    golden("segments", &cases.into_iter().map(|(line, response)| output_of(line, response, None)).collect::<String>());
}

#[test]
fn filters_become_query_parameters() {
    let line = "beadle events list --kind message --contact con_7 --conversation cnv_3 --state begun --before evt_9 --limit 7 --json";
    let cli = Cli::try_parse_from(line.split(' ')).unwrap();
    let query = query(&cli.command).unwrap();
    assert_eq!(query.path, ["events"]);
    let params: Vec<_> = query.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        params,
        ["kind=message", "contact=con_7", "conversation=cnv_3", "state=begun", "before=evt_9", "limit=7"]
    );
    assert!(query.json);
}

/// A wrong value is a usage error, and the text names what is accepted.
#[test]
fn wrong_values_are_usage_errors_that_say_what_is_accepted() {
    for (line, expected) in [
        ("events list --kind nonsense", "[possible values: message, reaction, member-joined,"),
        ("events tail --state done", "[possible values: new, begun, finished]"),
        ("events list --contact 7", "con_NUMBER"),
        ("events list --conversation con_7", "cnv_NUMBER"),
        ("events list --before 9", "evt_NUMBER"),
        ("events tail --after msg_9", "evt_NUMBER"),
        ("events show msg_9", "evt_NUMBER"),
        ("outbox list --state done", "[possible values: queued, sending, accepted, failed, dead, dropped]"),
        ("outbox list --conversation 3", "cnv_NUMBER"),
        ("outbox list --before evt_3", "msg_NUMBER"),
        ("dead-letters show hnd_12", "hnd_EVENT.PLUGIN"),
        ("dead-letters retry msg_x", "msg_NUMBER"),
        ("dead-letters drop 7", "hnd_EVENT.PLUGIN"),
        ("schedules history digest --before last", "invalid digit"),
        ("contacts list --after 7", "con_NUMBER"),
        ("contacts show Ana", "con_NUMBER"),
        ("contacts set con_1 --language xx-yy-zz", "must be a BCP 47 language tag, such as nl or pt-BR"),
        ("contacts set con_1 --timezone Europe/Amsterdm", "did you mean Europe/Amsterdam?"),
        ("contacts merge con_1 Ana", "con_NUMBER"),
        ("contacts mark-distinct con_1 Ana", "con_NUMBER"),
        ("consents link news --qr news.gif", "must end with .svg or .png"),
        ("windows list --within soon", "a number with a unit"),
        ("plugins state echo --scope Ana", "con_NUMBER or cnv_NUMBER"),
        (
            "plugins grant echo nonsense",
            "these can be granted: messages, contacts-identity, contacts-edit, consents, segments, broadcasts, groups",
        ),
        ("plugins grant echo state", "every plugin has it by default"),
        ("plugins revoke echo state", "every plugin has it by default"),
        ("plugins new 1st", "must begin with a letter"),
        ("plugins test echo.wasm --event nonsense", "the samples are text, button,"),
        ("why nonsense", "must begin with evt_, msg_, hnd_, con_, whk_ or wamid."),
        ("why evt_x", "evt_NUMBER"),
        ("run --clock tomorrow", "must be an HTTP address"),
        ("events list --limit 0", "1..=1000"),
    ] {
        let error = Cli::try_parse_from(format!("beadle {line}").split(' ')).err();
        let error = error.unwrap_or_else(|| panic!("`beadle {line}` is accepted"));
        let text = error.to_string();
        assert_eq!(error.exit_code(), 2, "{line}: {text}");
        assert!(text.starts_with("error: invalid value") && text.contains(expected), "{line}: {text}");
    }
    let error = Cli::try_parse_from(["beadle", "contacts", "set", "con_1"]).unwrap_err().to_string();
    assert!(error.contains("contacts set <--language <TAG>|--timezone <ZONE>|"), "{error}");
    for line in [
        "contacts set con_1 --timezone=",
        "contacts set con_1 --language= --timezone=",
        "events tail --after evt_0",
        "why wamid.HBgM",
        "explain 131047",
    ] {
        let parsed = Cli::try_parse_from(format!("beadle {line}").split(' '));
        assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
    }
}

#[test]
fn invisible_characters_do_not_reach_the_terminal() {
    const HIDDEN: &str =
        "\u{61c}\u{200b}\u{200e}\u{200f}\u{202a}\u{202e}\u{2028}\u{2029}\u{2066}\u{2069}\u{feff}\u{1b}\r";
    // Letters that are written from right to left and joined emoji stay.
    let name = format!("שלום 👩\u{200d}🌾{HIDDEN}");
    let contact = json!({"id": "con_7", "name": name, "created_at": at(NOW)});
    let mut view = contact.clone();
    view["now"] = at(NOW).into();
    view["aliases"] = json!([name]);
    view["conversations"] = json!([]);
    view["possible_duplicates"] = json!([name]);
    let list = |items: Value| json!({"now": at(NOW), "items": items});
    let window = json!([{"conversation": "cnv_9", "channel": "shop", "contact": "con_7", "name": name,
        "last_inbound_at": at(NOW), "closes_at": at(NOW)}]);
    let why = json!({"now": at(NOW), "id": "evt_3", "steps": [{"object": "evt_3", "text": name}]});
    for (line, response) in [
        ("beadle contacts list", list(json!([contact]))),
        ("beadle contacts show con_7", view),
        ("beadle windows list", list(window)),
        ("beadle events list", list(json!([event("evt_3", "message", 0, Some(&name), &name, &name)]))),
        ("beadle why evt_3", why),
    ] {
        for width in [None, Some(80)] {
            let text = output_of(line, response.clone(), width);
            let found = text.chars().find(|c| HIDDEN.contains(*c));
            assert!(found.is_none(), "{line} prints {found:?}");
            assert!(text.contains("שלום") && text.contains("👩\u{200d}🌾"), "{line}: {text}");
        }
    }
    let line = show::event_line(event("evt_3", "message", 0, Some(&name), "passed", &name)).unwrap();
    assert!(!line.trim_end().chars().any(|c| HIDDEN.contains(c)), "{line:?}");
    // What is no table, and what is for stderr.
    let merge = json!({"dry_run": true, "kept": "con_7", "name": name, "merged": name, "aliases": 0, "moved_conversations": [],
        "merged_conversations": [], "plugins": [], "group_memberships": 0, "join_requests": 0, "group_receipts": 0,
        "was_member": true, "is_member": true});
    let dead = json!({"id": "whk_1", "plugin": "beadle", "given_up_at": at(NOW), "attempts": 1, "code": name, "error": name,
        "summary": name});
    for output in [
        show::merge(merge).unwrap(),
        show::done(json!({"message": name, "warning": name})).unwrap(),
        show::dead_letter(dead, Screen::default()).unwrap(),
    ] {
        let found =
            output.hints.iter().chain([&output.text]).flat_map(|text| text.chars().find(|c| HIDDEN.contains(*c)));
        assert_eq!(found.count(), 0, "{output:?}");
    }
}

#[test]
fn merges_match_the_golden_file() {
    let plugin = |name: &str, dropped: u64, keys: &[&str]| json!({"plugin": name, "moved_values": 4, "dropped_values": dropped, "dropped_keys": keys, "moved_timers": 1, "dropped_timers": dropped});
    let merge = json!({"dry_run": true, "kept": "con_7", "name": "Ana", "merged": "con_9", "aliases": 2, "moved_conversations": ["cnv_3"],
        "merged_conversations": [{"from": "cnv_4", "into": "cnv_1"}], "plugins": [plugin("crm", 0, &[]), plugin("welcome", 2, &["step", "lang\nuage"])],
        "group_memberships": 1, "join_requests": 1, "group_receipts": 12, "was_member": true, "is_member": false, "opted_out_since": at(NOW)});
    let mut done = merge.clone();
    done["dry_run"] = false.into();
    let text = format!(
        "$ beadle contacts merge con_7 con_9 --dry-run\n{}\n$ beadle contacts merge con_7 con_9\n{}",
        show::merge(merge).unwrap().text,
        show::merge(done).unwrap().text
    );
    golden("merge", &text);
}

#[test]
fn broadcasts_match_the_golden_file() {
    let list = |items: Value| json!({"now": at(NOW), "items": items});
    let counts = |total: u64, sent: u64, failed: u64| {
        json!({"total": total, "planned": total - sent - failed - 3, "held": 1, "queued": 2, "sent": sent, "delivered": sent,
            "read": sent / 2, "failed": failed, "refused": 120, "replied": 7, "opted_out": 1})
    };
    let row = |name: &str, state: &str, counts: Value| {
        json!({"id": "bro_4", "name": name, "author": "operator", "channel": "shop", "state": state, "created_by": "Ana",
            "created_at": at(NOW - 3_600_000), "planned_at": at(NOW - 3_000_000), "recipients": counts})
    };
    let none = json!({"total": 0, "planned": 0, "held": 0, "queued": 0, "sent": 0, "delivered": 0, "read": 0, "failed": 0,
        "refused": 0, "replied": 0, "opted_out": 0});
    let code =
        |state: &str, code: &str, recipients: u64| json!({"state": state, "code": code, "recipients": recipients});
    let view = |row: Value, more: Value| {
        let mut view = json!({"now": at(NOW), "purpose": "marketing:news", "audience": "segment active",
            "template": "monthly_news", "has_text": true, "codes": [], "needs_approval": false, "messages_per_second": 80});
        for part in [row, more] {
            part.as_object().unwrap().iter().for_each(|(key, value)| view[key] = value.clone());
        }
        view
    };
    let plan = json!({"audience": 20_120, "recipients": 20_000, "open_windows": 1200,
        "excluded": [code("refused", "not-opted-in", 100), code("refused", "opted-out", 20)],
        "deferred": [code("held", "quiet-hours", 40)], "currency": "EUR", "cost": "1034.20",
        "costs": [{"country": "", "category": "service", "recipients": 1200},
            {"country": "NL", "category": "marketing", "recipients": 18_800, "amount": "1034.20"}],
        "samples": [
            {"kind": "template in nl", "contact": "con_7", "lines": ["Beste Ana,", "het buurtfeest is vrijdag.", "[Meld me af]"]},
            {"kind": "text in en", "contact": "con_8", "lines": ["Dear Bram, the party is on Friday."]}]});
    let mut limited = plan.clone();
    limited["cost"] = Value::Null;
    let costs = limited["costs"].as_array_mut().unwrap();
    costs.extend(
        ["BE", "DE", "FR", "LU", "PT", ""]
            .map(|country| json!({"country": country, "category": "marketing", "recipients": 20})),
    );
    let budget = |name: &str, left: &str, is_exceeded: bool, unpriced: u64, waits: bool| {
        json!({"name": name, "period": "month", "amount": "2000.00", "left": left, "estimate": "1034.20",
            "is_exceeded": is_exceeded, "unpriced": unpriced, "waits": waits})
    };
    limited["budgets"] = json!([
        budget("all", "1100.00", false, 0, false),
        budget("news", "500.00", true, 120, false),
        budget("slow", "0.00", true, 0, true)
    ]);
    let limited = json!({"plan": limited});
    let planned = json!({"plan": plan, "needs_approval": true, "messaging_limit_left": 1000,
        "codes": [code("refused", "not-opted-in", 100), code("refused", "opted-out", 20)],
        "expected_end": at(NOW + 250_000)});
    let sending = json!({"started_at": at(NOW - 60_000), "approved_by": "Bo", "expected_end": at(NOW + 100_000), "plan": plan,
        "expires_at": at(NOW + 80_000_000)});
    let waiting =
        json!({"started_at": at(NOW - 60_000), "plan": plan, "waits_for": "budget", "waits_until": at(NOW + 60_000)});
    // A check, not an error.
    let quiet_hours = "quiet-hours";
    let paused = json!({"started_at": at(NOW - 60_000), "plan": plan, "codes": [code("failed", "131026", 900)],
        "reason": {"code": "broadcast-failures", "message": "900 of 6100 messages failed, more than 10 %"}});
    let codes = [code("failed", "131026", 900), code("failed", "132001", 5), code("failed", "131000", 92)];
    let finished = json!({"started_at": at(NOW - 60_000), "ended_at": at(NOW - 1000), "plan": plan, "codes": codes});
    let hopeless =
        json!({"started_at": at(NOW - 60_000), "ended_at": at(NOW - 1000), "plan": plan, "codes": [codes[0]]});
    let mut text = String::new();
    for (line, response) in [
        (
            "beadle broadcasts list",
            list(json!([row("news", "sending", counts(20_000, 5200, 900)), row("party", "draft", none.clone())])),
        ),
        ("beadle broadcasts list", list(json!([]))),
        ("beadle broadcasts show party", view(row("party", "draft", none.clone()), json!({}))),
        ("beadle broadcasts show news", view(row("news", "planned", none.clone()), planned)),
        ("beadle broadcasts show news", view(row("news", "planned", none), limited)),
        ("beadle broadcasts show news", view(row("news", "sending", counts(20_000, 5200, 900)), sending)),
        ("beadle broadcasts show news", view(row("news", "sending", counts(20_000, 5200, 900)), waiting)),
        ("beadle broadcasts show news", view(row("news", "paused", counts(20_000, 5200, 900)), paused)),
        ("beadle broadcasts show news", view(row("news", "finished", counts(20_000, 19_000, 997)), finished)),
        ("beadle broadcasts show news", view(row("news", "finished", counts(20_000, 19_097, 900)), hopeless)),
        (
            "beadle broadcasts recipients news",
            list(json!([
                {"contact": "con_7", "state": "read", "language": "nl", "message": "msg_3", "sent_at": at(NOW - 5000), "replied_at": at(NOW - 1000)},
                {"contact": "con_8", "state": "held", "code": quiet_hours, "due_at": at(NOW + 3_600_000)},
                {"contact": "con_9", "state": "refused", "code": "opted-out"}
            ])),
        ),
    ] {
        text.push_str(&output_of(line, response, None));
    }
    golden("broadcasts", &text);
}

#[test]
fn erasures_and_retention_match_the_golden_file() {
    let row = |phase: &str, completed: Option<i64>| {
        json!({"id": 3, "contact": "con_7", "asked_by": "person", "begun_at": at(NOW - 700_000), "phase": phase,
            "completed_at": completed.map(at)})
    };
    let view = |row: Value, plugins: Value, erased: Value| {
        let mut view = row;
        view["now"] = at(NOW).into();
        (view["plugins"], view["erased"]) = (plugins, erased);
        view
    };
    let open = view(
        row("plugins", None),
        json!([{"plugin": "crm", "state": "failed", "attempts": 2, "error": "trap: unreachable", "dead_letter": "hnd_12.4"},
            {"plugin": "welcome", "state": "done"}]),
        json!({}),
    );
    let done = view(
        row("done", Some(NOW - 1000)),
        json!([{"plugin": "welcome", "state": "done"}]),
        json!({"events": 120, "messages": 80, "rejected_webhooks": 1, "values": 4}),
    );
    let kinds = json!([{"kind": "events", "keep_ms": 2_592_000_000_i64, "count": 1200, "at_least": true},
        {"kind": "erased_identities", "keep_ms": 94_608_000_000_i64, "count": 0}, {"kind": "expired_values", "count": 3}]);
    let plan = |measured: i64| json!({"now": at(NOW), "measured_at": at(measured), "kinds": kinds});
    let mut text = String::new();
    for (line, response) in [
        (
            "beadle erasures list",
            json!({"now": at(NOW), "items": [row("plugins", None), row("done", Some(NOW - 1000))]}),
        ),
        ("beadle retention plan", plan(NOW)),
        ("beadle retention plan", plan(NOW - 3_456_000_000)),
    ] {
        text.push_str(&output_of(line, response, None));
    }
    for receipt in [open, done] {
        let output = show::erasure(receipt).unwrap();
        let hints: String = output.hints.iter().map(|hint| format!("hint: {hint}\n")).collect();
        text.push_str(&format!("$ beadle erasures show 3\n{}{hints}\n", output.text));
    }
    golden("privacy", &text);
}

/// A made-up code in a fixture would hide that a table shows a code which does not exist.
#[test]
fn fixtures_use_existing_codes() {
    let code = |text: &str| crate::explain::page(text).is_some();
    for (name, text) in [
        ("tests.rs", include_str!("tests.rs")),
        ("tables.snap", include_str!("../../tests/cli/tables.snap")),
        ("schedules.snap", include_str!("../../tests/cli/schedules.snap")),
    ] {
        for part in text.split("\"code\": \"").skip(1) {
            let found = part.split('"').next().unwrap_or_default();
            assert!(code(found), "{name} uses the code `{found}`, which does not exist");
        }
        for line in text.lines() {
            let Some(found) = line.strip_suffix(')').and_then(|line| line.rsplit_once('(')) else { continue };
            let is_code = found.1.contains('-') && found.1.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            assert!(!is_code || code(found.1), "{name} shows the code `{}`, which does not exist", found.1);
        }
    }
}
