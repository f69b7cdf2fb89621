//! `beadle explain [CODE]`: a page for every code that an error, a refusal, a warning or a dead
//! letter can carry.
//!
//! The pages are compiled in, so that they are available when nothing else is. Tests check that
//! every code of every crate has exactly one page, and that all pages have the same sections.

use crate::cli::table::cut;
use crate::exit::{Exit, print};
use beadle_model::Blame;
use beadle_pipeline::Advice;
use beadle_whatsapp::PlatformError;
use serde_json::json;
use std::borrow::Cow;

macro_rules! pages {
    ($($code:literal)*) => { &[$(($code, include_str!(concat!("explain/", $code, ".md")))),*] };
}

/// A heading, and the codes below it with their pages.
type Group = (&'static str, &'static [(&'static str, &'static str)]);

const GROUPS: &[Group] = &[
    (
        "Configuration",
        pages! {
            "config-app-unused"
            "config-duplicate"
            "config-missing"
            "config-no-brand"
            "config-no-channel"
            "config-secret"
            "config-segment"
            "config-syntax"
            "config-type"
            "config-unchecked"
            "config-unknown"
            "config-unreadable"
            "config-unused"
            "config-value"
            "default-capability"
            "form-behind-proxy"
            "number-unknown"
            "restart-required"
            "segment-topic"
            "settings-invalid"
            "settings-not-a-table"
            "unknown-capability"
        },
    ),
    (
        "Requests and hooks of plugins",
        pages! {
            "egress-busy"
            "egress-client-failed"
            "egress-connect-failed"
            "egress-dns-failed"
            "egress-header-refused"
            "egress-host-not-allowed"
            "egress-method-invalid"
            "egress-method-not-allowed"
            "egress-network-not-allowed"
            "egress-no-response"
            "egress-path-ambiguous"
            "egress-path-not-allowed"
            "egress-port-not-allowed"
            "egress-rate-limit"
            "egress-request-too-large"
            "egress-response-encoded"
            "egress-response-too-large"
            "egress-scheme-not-allowed"
            "egress-scheme-unknown"
            "egress-secret-in-clear"
            "egress-secret-redirected"
            "egress-timeout"
            "egress-tls-failed"
            "egress-too-many-redirects"
            "egress-url-invalid"
            "egress-user-info"
            "hook-bad-signature"
            "hook-no-plugin"
            "hook-no-signature"
            "hook-rate-limit"
            "hook-stale-signature"
            "hook-too-large"
            "http-dry-run"
            "http-request-limit"
            "http-too-many-waiting"
            "oauth-not-stored"
            "oauth-refused"
            "oauth-unavailable"
            "request-expired"
            "request-interrupted"
            "request-outcome-unknown"
        },
    ),
    (
        "Plugin files",
        pages! {
            "about-invalid"
            "api-version-unsupported"
            "compile-failed"
            "document-rejected"
            "dry-run-failed"
            "host-resources-exhausted"
            "initial-memory-limit"
            "migration-failed"
            "migration-interrupted"
            "no-earlier-revision"
            "no-events-exported"
            "not-a-plugin"
            "not-wasm"
            "plugin-busy"
            "plugin-compile-limit"
            "plugin-corrupt"
            "plugin-disabled"
            "plugin-folder-missing"
            "plugin-load-crash"
            "plugin-loading"
            "plugin-missing"
            "plugin-name-invalid"
            "plugin-not-removed"
            "plugin-not-running"
            "plugin-pending"
            "plugin-too-complex"
            "plugin-too-large"
            "plugin-type-mismatch"
            "plugin-unreadable"
            "precompiled"
            "revision-not-saved"
            "rollback-failed"
            "rolled-back"
            "state-newer"
            "state-version-invalid"
            "state-would-be-lost"
            "unknown-event"
            "unknown-import"
            "unknown-plugin"
            "watch-unavailable"
        },
    ),
    (
        "Plugin failures",
        pages! {
            "cpu-limit"
            "effect-limit"
            "host-call-limit"
            "host-panic"
            "instantiate-failed"
            "memory-limit"
            "not-subscribed"
            "plugin-backlog"
            "plugin-crash"
            "plugin-gave-up"
            "plugin-resting"
            "plugin-retry"
            "plugin-suspended"
            "stack-overflow"
            "stale"
            "trap"
            "wall-limit"
        },
    ),
    (
        "Broadcasts",
        pages! {
            "broadcast-approval"
            "broadcast-dropped"
            "broadcast-empty"
            "broadcast-exists"
            "broadcast-expired"
            "broadcast-failures"
            "broadcast-invalid"
            "broadcast-number-quality"
            "broadcast-opt-outs"
            "broadcast-quality"
            "broadcast-same-person"
            "broadcast-state"
            "broadcast-template"
            "broadcast-template-changed"
            "broadcast-unknown"
            "held-for-quality"
        },
    ),
    (
        "Refused calls",
        pages! {
            "attribute-type"
            "attribute-unknown"
            "bad-id"
            "bad-phone"
            "bad-json"
            "bad-key"
            "bad-media-type"
            "bad-role"
            "bad-tag"
            "consent-in-future"
            "consent-withdrawn"
            "counter-overflow"
            "effect-unstorable"
            "host-call-at-start"
            "media-pending"
            "media-unavailable"
            "no-conversation"
            "no-response-handler"
            "no-timer-handler"
            "not-a-counter"
            "not-granted"
            "not-their-message"
            "over-quota"
            "scan-too-large"
            "stale-read"
            "too-many-reads"
            "too-many-requests"
            "unknown-contact"
            "unknown-group"
            "unknown-media"
            "unknown-purpose"
            "unknown-source"
            "unknown-wording"
            "unknown-zone"
            "value-too-large"
            "wording-required"
            "wrong-wording"
        },
    ),
    (
        "Sending",
        pages! {
            "already-sent"
            "bad-message"
            "banned"
            "budget-nearly-used"
            "channel-stopped"
            "duplicate-id"
            "empty-field"
            "erased"
            "frequency-cap"
            "groups-only"
            "in-human-hands"
            "left"
            "marketing-country"
            "marketing-limited"
            "marketing-opted-out"
            "no-recipient"
            "not-opted-in"
            "opted-out"
            "outcome-unknown"
            "over-budget"
            "phone-number-required"
            "platform-bad-response"
            "platform-no-response"
            "platform-unreachable"
            "quarantined"
            "template-advertising"
            "template-disabled"
            "template-not-approved"
            "template-parameters"
            "template-paused"
            "template-unknown"
            "too-long"
            "too-many"
            "unknown-channel"
            "unreachable"
            "unsupported-in-groups"
            "window-closed"
        },
    ),
    (
        "Webhooks",
        pages! {
            "unknown-app"
            "webhook-bad-handshake"
            "webhook-bad-signature"
            "webhook-malformed"
            "webhook-no-secret"
            "webhook-too-large"
            "webhook-unreadable"
        },
    ),
    (
        "Schedules",
        pages! {
            "schedule-either-day"
            "schedule-elapsed-days"
            "schedule-holidays-end"
            "schedule-holidays-timed"
            "schedule-never"
            "schedule-not-exported"
            "schedule-plugin-unavailable"
            "schedule-repeated-time"
            "schedule-short-months"
            "schedule-skipped-time"
            "schedule-uneven-step"
        },
    ),
    (
        "Storage",
        pages! {
            "disk-full"
            "store-busy"
            "store-closed"
            "store-failed"
            "store-fenced"
            "store-io"
            "store-locked"
            "store-log-too-large"
            "store-newer"
            "store-not-beadle"
            "store-not-writing"
            "store-row-unreadable"
            "store-unavailable"
        },
    ),
    (
        "Daemon and API",
        pages! {
            "admin-open"
            "bad-access-token"
            "bad-graph-url"
            "bad-request"
            "clock-differs"
            "clock-unreadable"
            "contact-value"
            "cross-site"
            "dead-letter-settled"
            "group-unknown"
            "http-client-failed"
            "internal-error"
            "list-refused"
            "list-unknown"
            "listen-failed"
            "not-found"
            "retry-running"
            "same-contact"
            "sandbox-engine-failed"
            "sandbox-threads-failed"
            "segment-unknown"
            "shutting-down"
            "task-failed"
            "task-restarting"
            "task-stuck"
            "unauthorized"
        },
    ),
];

/// Columns of a page.
const WIDTH: usize = 100;

/// Prints the page of a code, or the list of all codes.
pub fn explain(code: Option<&str>, as_json: bool) -> Exit {
    let text = match code {
        None if as_json => list_json(),
        None => list(crate::cli::table::terminal_width()),
        Some(code) => match page(code) {
            Some(text) if as_json => format!("{:#}\n", json!({ "code": code, "text": text })),
            Some(text) => text.into_owned(),
            None => {
                eprintln!("error: {}", unknown(code));
                return Exit::Usage;
            }
        },
    };
    print(&text).err().unwrap_or(Exit::Ok)
}

/// The page of a code; WhatsApp's own codes (`131047`) are described from the table of its errors.
pub fn page(code: &str) -> Option<Cow<'static, str>> {
    let page = pages().find(|(known, _)| *known == code).map(|(_, page)| page.into());
    page.or_else(|| platform_page(code).map(Cow::from))
}

/// A page for a code of the platform's, from the table by which the outbox decides.
fn platform_page(code: &str) -> Option<String> {
    let PlatformError { title, advice, blame } = beadle_whatsapp::platform_error(code)?;
    let responsible = match blame {
        Blame::Operator => "Operator.",
        Blame::Plugin => "Plugin author.",
        Blame::Remote => "WhatsApp.",
        Blame::Host => "Beadle.",
    };
    let stopped = "Its messages wait, one of them is tried every minute, and sending continues once one goes through.";
    let next = match advice {
        Advice::Fail => {
            "The message has failed; its plugin gets `on-message-status` with this code. Other messages continue."
                .into()
        }
        Advice::Retry { attempts } => format!(
            "A message that is refused with this code is tried {attempts} times in all, then it becomes a dead letter. \
             One that fails after the platform accepted it is not repeated."
        ),
        Advice::SlowRecipient => "Messages to this recipient wait for 1, 4, 16, … seconds. Others continue.".into(),
        Advice::SlowChannel => "The channel pauses for up to 30 seconds, then continues.".into(),
        Advice::SlowApp => "All channels of the app pause for up to 30 seconds, then continue.".into(),
        Advice::StopOutreach => {
            "Templates and Direct Send on the channel wait for an hour, after each further refusal twice \
                                 as long, up to a day. Answers continue."
                .into()
        }
        Advice::StopChannel => format!("The channel stops. {stopped}"),
        Advice::StopApp => format!("All channels of the app stop. {stopped}"),
    };
    let remedy = match blame {
        // The plugin does nothing wrong that a correction of its text would change.
        _ if code == "131047" => {
            "Send a template, or wait until the person writes again. A plugin can wait for the next message of the \
             person; `beadle why` with the message's id shows the plugin and the event."
        }
        _ if code == "131026" => {
            "Check the number. Templates and Direct Send to the person are refused (`unreachable`) until they write."
        }
        Blame::Operator => {
            "Solve the problem in Meta's app dashboard or WhatsApp Manager. `beadle status` shows whether channels are stopped."
        }
        Blame::Plugin => {
            "Correct the message in the plugin. `beadle why` with the message's id shows the plugin and the event."
        }
        Blame::Remote => "Nothing, unless it happens often: `beadle_message_failures_total` counts failures by code.",
        Blame::Host => "Report it as a defect of Beadle.",
    };
    Some(format!(
        "# {code}\n\n{}\n\n## Responsible\n\n{responsible}\n\n## What happens next\n\n{}\n\n## What to do\n\n{}\n",
        wrapped(&format!("{title}. This is an error code of the WhatsApp Cloud API.")),
        wrapped(&next),
        wrapped(remedy)
    ))
}

/// The text in lines of at most [`WIDTH`] characters.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        let fits = width + 1 + length <= WIDTH;
        match (width, fits) {
            (0, _) => {}
            (_, true) => lines.push(' '),
            (_, false) => lines.push('\n'),
        }
        width = if width > 0 && fits { width + 1 + length } else { length };
        lines.push_str(word);
    }
    lines
}

fn pages() -> impl Iterator<Item = (&'static str, &'static str)> {
    GROUPS.iter().flat_map(|(_, pages)| pages.iter().copied())
}

/// What is said about a code without a page. Names a similar code.
fn unknown(code: &str) -> String {
    let nearest = pages().map(|(known, _)| (strsim::damerau_levenshtein(code, known), known)).min();
    let suggestion = match nearest {
        Some((distance, known)) if distance <= 3 => format!(" (did you mean `{known}`?)"),
        _ => String::new(),
    };
    format!("unknown code `{code}`{suggestion}; run `beadle explain` for the list")
}

fn list(width: Option<usize>) -> String {
    let longest = pages().map(|(code, _)| code.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (heading, pages) in GROUPS {
        text.push_str(&format!("{}{heading}\n", if text.is_empty() { "" } else { "\n" }));
        for (code, page) in *pages {
            let line = format!("  {code:longest$}  {}", summary(page));
            text.push_str(&width.map_or_else(|| line.clone(), |width| cut(&line, width)));
            text.push('\n');
        }
    }
    text
}

fn list_json() -> String {
    let items = GROUPS.iter().flat_map(|(heading, pages)| {
        pages.iter().map(move |(code, page)| json!({ "code": code, "group": heading, "summary": summary(page) }))
    });
    format!("{:#}\n", json!({ "items": items.collect::<Vec<_>>() }))
}

/// The first sentence of a page.
fn summary(page: &str) -> String {
    let lines: Vec<&str> = page.lines().skip(2).take_while(|line| !line.is_empty()).collect();
    let text = lines.join(" ");
    text.split_inclusive(". ").next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The codes that each crate declares.
    fn codes() -> BTreeSet<&'static str> {
        let lists: [&[&str]; 15] = [
            crate::config::CODES,
            &crate::run::CODES,
            &crate::web::CODES,
            &beadle_broadcast::CODES,
            &beadle_catalog::CODES,
            &beadle_egress::CODES,
            &beadle_gate::CODES,
            &beadle_pipeline::CODES,
            &beadle_requests::CODES,
            &beadle_sandbox::CODES,
            &beadle_schedule::lint::CODES,
            &beadle_segments::CODES,
            &beadle_store::CODES,
            &beadle_tasks::CODES,
            &beadle_whatsapp::CODES,
        ];
        lists.into_iter().flatten().copied().collect()
    }

    #[test]
    fn codes_of_the_sdk_have_pages() {
        let sources = [
            include_str!("../../../plugin-api/sdk/src/capability/media.rs"),
            include_str!("../../../plugin-api/sdk/src/capability/state.rs"),
            include_str!("../../../plugin-api/sdk/src/testing/files.rs"),
            include_str!("../../../plugin-api/sdk/src/testing/host.rs"),
            include_str!("../../../plugin-api/sdk/src/testing/people.rs"),
            include_str!("../../../plugin-api/sdk/src/testing/lengths.rs"),
            include_str!("../../../plugin-api/sdk/src/testing/world.rs"),
        ];
        let refusals = sources.iter().flat_map(|source| source.split("Refusal::new(\"").skip(1));
        let used: BTreeSet<_> = refusals.filter_map(|rest| rest.split('"').next()).collect();
        assert!(!used.is_empty());
        assert_eq!(used.difference(&codes()).collect::<Vec<_>>(), Vec::<&&str>::new());
    }

    #[test]
    fn codes_of_whatsapp_have_pages_of_the_same_form() {
        let page = page("131030").unwrap();
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        assert_eq!(headings, ["# 131030", "## Responsible", "## What happens next", "## What to do"]);
        assert!(page.replace('\n', " ").contains("add the recipient in the app's dashboard"), "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
        assert!(super::page("999999").is_none());
    }

    #[test]
    fn every_code_has_one_page() {
        let all: Vec<&str> = pages().map(|(code, _)| code).collect();
        let unique: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(all.len(), unique.len());
        assert_eq!(codes(), unique);
    }

    #[test]
    fn pages_have_the_same_sections() {
        for (code, page) in pages() {
            assert!(page.starts_with(&format!("# {code}\n\n")), "{code} has another title");
            let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
            assert_eq!(headings, ["Responsible", "What happens next", "What to do"], "{code}");
            let responsible = page.split("## Responsible\n\n").nth(1).and_then(|rest| rest.lines().next());
            let known = ["Operator.", "Plugin author.", "WhatsApp.", "Another server.", "Beadle."];
            assert!(responsible.is_some_and(|name| known.contains(&name)), "{code}: {responsible:?}");
            let summary = summary(page);
            assert!(summary.ends_with('.') && summary.len() <= 160, "{code}: {summary}");
            // Indented lines are examples.
            let is_short = |line: &str| line.chars().count() <= WIDTH || line.starts_with("    ");
            assert!(page.lines().all(is_short), "{code} has a long line");
        }
    }

    #[test]
    fn codes_of_the_platform_have_pages() {
        let page = platform_page("131030").unwrap();
        assert!(page.starts_with("# 131030\n\nA test number can send only to its list of recipients: add"), "{page}");
        assert!(page.contains("\n## Responsible\n\nOperator.\n"), "{page}");
        for code in ["0", "1", "100", "130429", "131026", "131042", "131056", "131059", "131208"] {
            let page = platform_page(code).unwrap();
            assert!(page.lines().all(|line| line.chars().count() <= 150), "{page}");
        }
        assert_eq!(platform_page("131999"), None);
    }

    #[test]
    fn unknown_code_suggests_a_similar_one() {
        let similar = "unknown code `window-close` (did you mean `window-closed`?); run `beadle explain` for the list";
        assert_eq!(unknown("window-close"), similar);
        assert_eq!(unknown("nope"), "unknown code `nope`; run `beadle explain` for the list");
    }

    #[test]
    fn list_is_grouped_and_fits_the_terminal() {
        let text = list(Some(80));
        assert!(text.starts_with("Configuration\n  config-app-unused "), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
