//! Reports events of time, for scenarios that move the clock.
//!
//! `in 90 bread` is answered after 90 minutes (`in 90s bread`: seconds) with `bread` and the time
//! of the handling in milliseconds since 1970. A person whose window is about to close gets the
//! lead time in minutes and the time. `fired` is answered with one line per schedule that fired:
//! name, planned time, zone, delay. A schedule with `fail` in its payload always fails; one with
//! `quiet` is not recorded. `documents` is answered with the documents, `news` with the changes of
//! documents. Not installed anywhere.

use beadle_plugin::prelude::*;
use std::time::Duration;

#[derive(Default)]
struct Hourglass;

impl OnMessage for Hourglass {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        match event.text() {
            Some("fired") => {
                let fired: Vec<String> = state::get(Scope::Plugin, "fired")?.unwrap_or_default();
                return claim(event.reply(if fired.is_empty() { "nothing".into() } else { fired.join("\n") }));
            }
            Some("documents") => return claim(event.reply(documents()?)),
            Some("news") => {
                return claim(event.reply(state::get::<String>(Scope::Plugin, "news")?.unwrap_or_default()));
            }
            _ => {}
        }
        let asked = event.text().and_then(|text| text.strip_prefix("in ")).and_then(|rest| rest.split_once(' '));
        let Some((Some(seconds), text)) = asked.map(|(length, text)| (seconds(length), text)) else {
            return Ok(Disposition::Pass);
        };
        timers::set(&event.conversation, text, clock::after(Duration::from_secs(seconds)), text.as_bytes())?;
        Ok(Disposition::Claimed)
    }
}

fn claim(sent: Result<String, Refusal>) -> Result<Disposition, Failure> {
    sent?;
    Ok(Disposition::Claimed)
}

/// All documents as `name=text`.
fn documents() -> Result<String, Refusal> {
    let mut listed = String::from("there:");
    for document in documents::list()? {
        let text = documents::read(&document.name)?.unwrap_or_default();
        listed.push_str(&format!(" {}={}", document.name, text.trim()));
    }
    Ok(listed)
}

impl OnDocumentsChanged for Hourglass {
    fn on_documents_changed(&self, event: DocumentsChangedEvent) -> Result<Disposition, Failure> {
        let before = state::get::<String>(Scope::Plugin, "news")?.unwrap_or_default();
        let news = format!("{before}+{} -{};", event.changed.join(","), event.removed.join(","));
        state::set(Scope::Plugin, "news", &news)?;
        Ok(Disposition::Claimed)
    }
}

fn seconds(length: &str) -> Option<u64> {
    match length.strip_suffix('s') {
        Some(seconds) => seconds.parse().ok(),
        None => Some(60 * length.parse::<u64>().ok()?),
    }
}

impl OnTimer for Hourglass {
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure> {
        replies::send(format!("{} {}", String::from_utf8_lossy(&event.payload), clock::now()))?;
        Ok(Disposition::Claimed)
    }
}

impl OnSchedule for Hourglass {
    fn on_schedule(&self, event: ScheduleEvent) -> Result<Disposition, Failure> {
        if event.payload.contains("fail") {
            return Err(Failure::Retry("it fails, as its payload requires".into()));
        }
        if event.payload.contains("quiet") {
            return Ok(Disposition::Pass);
        }
        let zone = if event.for_zone { format!("members in {}", event.timezone) } else { event.timezone.clone() };
        let suffix = if event.caught_up { " caught up" } else { "" };
        let mut fired: Vec<String> = state::get(Scope::Plugin, "fired")?.unwrap_or_default();
        fired.push(format!(
            "{} {} {zone} {}{suffix} {}",
            event.schedule, event.planned_at, event.late_by_ms, event.payload
        ));
        state::set(Scope::Plugin, "fired", &fired)?;
        Ok(Disposition::Claimed)
    }
}

impl OnWindowExpiring for Hourglass {
    fn on_window_expiring(&self, event: WindowExpiringEvent) -> Result<Disposition, Failure> {
        replies::send(format!("closing-{} {}", event.lead_ms / 60_000, clock::now()))?;
        Ok(Disposition::Claimed)
    }
}

impl OnWindowClosed for Hourglass {
    fn on_window_closed(&self, event: WindowClosedEvent) -> Result<Disposition, Failure> {
        // The window is closed, so this must be refused; the scenario checks the code.
        match replies::send("too late") {
            Ok(_) => Err(Failure::GiveUp("a closed window took a message".to_owned())),
            Err(refusal) => {
                state::set(&event.conversation, &format!("closed/{}", event.closed_at), &refusal.code)?;
                Ok(Disposition::Claimed)
            }
        }
    }
}

plugin!(Hourglass: OnMessage, OnTimer, OnSchedule, OnWindowExpiring, OnWindowClosed, OnDocumentsChanged);
