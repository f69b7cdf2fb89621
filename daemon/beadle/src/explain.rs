//! `beadle explain CODE`: a page for every code that an error, a refusal or a dead letter can carry.
//!
//! The pages are compiled in, so that they are there when nothing else is. A test holds that each code of each crate has
//! one, and that no page is left of a code that is gone.

use crate::exit::{Exit, print};

macro_rules! pages {
    ($($code:literal)*) => { &[$(($code, include_str!(concat!("explain/", $code, ".md")))),*] };
}

/// Codes and their pages, in alphabetical order.
const PAGES: &[(&str, &str)] = pages! {
    "about-invalid"
    "api-version-unsupported"
    "bad-access-token"
    "bad-graph-url"
    "bad-id"
    "bad-json"
    "bad-key"
    "bad-media-type"
    "bad-message"
    "bad-request"
    "channel-stopped"
    "clock-unreadable"
    "compile-failed"
    "config-duplicate"
    "config-missing"
    "config-secret"
    "config-syntax"
    "config-type"
    "config-unknown"
    "config-unreadable"
    "config-unused"
    "config-value"
    "counter-overflow"
    "cpu-limit"
    "cross-site"
    "disk-full"
    "document-rejected"
    "dry-run-failed"
    "duplicate-id"
    "effect-limit"
    "empty-field"
    "groups-only"
    "host-call-at-start"
    "host-call-limit"
    "host-panic"
    "http-client-failed"
    "initial-memory-limit"
    "instantiate-failed"
    "internal-error"
    "listen-failed"
    "marketing-opted-out"
    "media-pending"
    "media-unavailable"
    "memory-limit"
    "migration-failed"
    "migration-interrupted"
    "no-conversation"
    "no-earlier-revision"
    "no-events-exported"
    "no-recipient"
    "no-timer-handler"
    "not-a-counter"
    "not-a-plugin"
    "not-found"
    "not-granted"
    "not-subscribed"
    "not-wasm"
    "opted-out"
    "outcome-unknown"
    "over-quota"
    "phone-number-required"
    "pipeline-stalled"
    "pipeline-stopped"
    "platform-bad-response"
    "platform-no-response"
    "platform-unreachable"
    "plugin-backlog"
    "plugin-busy"
    "plugin-corrupt"
    "plugin-disabled"
    "plugin-folder-missing"
    "plugin-gave-up"
    "plugin-load-crash"
    "plugin-loading"
    "plugin-missing"
    "plugin-not-removed"
    "plugin-not-running"
    "plugin-pending"
    "plugin-resting"
    "plugin-retry"
    "plugin-suspended"
    "plugin-too-large"
    "plugin-type-mismatch"
    "plugin-unreadable"
    "precompiled"
    "restart-required"
    "revision-not-saved"
    "rollback-failed"
    "rolled-back"
    "same-contact"
    "sandbox-engine-failed"
    "sandbox-threads-failed"
    "scan-too-large"
    "schedule-either-day"
    "schedule-elapsed-days"
    "schedule-holidays-end"
    "schedule-never"
    "schedule-not-exported"
    "schedule-plugin-unavailable"
    "schedule-repeated-time"
    "schedule-short-months"
    "schedule-skipped-time"
    "schedule-uneven-step"
    "settings-invalid"
    "settings-not-a-table"
    "shutting-down"
    "stack-overflow"
    "stale"
    "stale-read"
    "state-newer"
    "state-version-invalid"
    "state-would-be-lost"
    "store-busy"
    "store-closed"
    "store-failed"
    "store-fenced"
    "store-io"
    "store-locked"
    "store-newer"
    "store-not-beadle"
    "store-row-unreadable"
    "too-long"
    "too-many"
    "too-many-reads"
    "trap"
    "unknown-app"
    "unknown-capability"
    "unknown-channel"
    "unknown-contact"
    "unknown-event"
    "unknown-group"
    "unknown-import"
    "unknown-media"
    "unknown-plugin"
    "unknown-zone"
    "unsupported-in-groups"
    "value-too-large"
    "wall-limit"
    "webhook-bad-handshake"
    "webhook-bad-signature"
    "webhook-malformed"
    "webhook-no-secret"
    "webhook-too-large"
    "webhook-unreadable"
    "window-closed"
};

/// Prints the page of a code, or the list of codes.
pub fn explain(code: Option<&str>) -> Exit {
    let Some(code) = code else {
        let list: String = PAGES.iter().map(|(code, page)| format!("{code:24} {}\n", first_sentence(page))).collect();
        return print(&list).err().unwrap_or(Exit::Ok);
    };
    match PAGES.iter().find(|(known, _)| *known == code) {
        Some((_, page)) => print(page).err().unwrap_or(Exit::Ok),
        None => {
            let near = PAGES.iter().map(|(known, _)| (strsim::damerau_levenshtein(code, known), known)).min();
            let guess = near.filter(|(wrong, _)| *wrong <= 3).map(|(_, known)| format!(" Did you mean `{known}`?"));
            eprintln!("There is no code `{code}`.{} `beadle explain` lists them all.", guess.unwrap_or_default());
            Exit::Failed
        }
    }
}

/// What a page says first, below its title.
fn first_sentence(page: &str) -> String {
    let text: Vec<&str> = page.lines().skip(2).take_while(|line| !line.is_empty()).collect();
    let text = text.join(" ");
    text.split_inclusive(". ").next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every code that the crates say they have.
    fn codes() -> BTreeSet<&'static str> {
        let lists: [&[&str]; 10] = [
            crate::config::CODES,
            &crate::run::CODES,
            &crate::web::CODES,
            &beadle_catalog::CODES,
            &beadle_gate::CODES,
            &beadle_pipeline::CODES,
            &beadle_sandbox::CODES,
            &beadle_schedule::lint::CODES,
            &beadle_store::CODES,
            &beadle_whatsapp::CODES,
        ];
        lists.into_iter().flatten().copied().collect()
    }

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let pages: BTreeSet<&str> = PAGES.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes(), pages);
    }

    #[test]
    fn pages_have_one_form() {
        assert!(PAGES.is_sorted_by_key(|(code, _)| code));
        for (code, page) in PAGES {
            assert!(page.starts_with(&format!("# {code}\n\n")), "{code} has another title");
            assert!(page.contains("\n## What to do\n\n"), "{code} does not say what to do");
            let sentence = first_sentence(page);
            assert!(sentence.ends_with('.') && sentence.len() <= 160, "{code}: {sentence}");
        }
    }
}
