//! The hourglass: tells people what time brings, for the scenarios that turn it.
//!
//! `in 90 bread` is answered after 90 minutes (`in 90s bread`: seconds) with `bread` and the moment, in milliseconds since
//! 1970, at which the plugin was asked. Whoever's window is about to close hears how many minutes before, and the same two.
//! `fired` is answered with what schedules it heard: name, planned moment, zone, and how late, a line each. A schedule whose
//! payload says `fail` is never handled, one that says `quiet` is heard and not told. `documents` is
//! answered with what lies in its folder, and `news` with what it was told of it. It is not installed anywhere.

use beadle_plugin::prelude::*;
use std::time::Duration;

#[derive(Default)]
struct Hourglass;

impl OnMessage for Hourglass {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        match event.text() {
            Some("fired") => {
                let fired: Vec<String> = state::get(Scope::Plugin, "fired")?.unwrap_or_default();
                return said(event.reply(if fired.is_empty() { "nothing".into() } else { fired.join("\n") }));
            }
            Some("documents") => return said(event.reply(documents()?)),
            Some("news") => return said(event.reply(state::get::<String>(Scope::Plugin, "news")?.unwrap_or_default())),
            _ => {}
        }
        let asked = event.text().and_then(|text| text.strip_prefix("in ")).and_then(|rest| rest.split_once(' '));
        let Some((Some(seconds), what)) = asked.map(|(length, what)| (seconds(length), what)) else {
            return Ok(Disposition::Pass);
        };
        timers::set(&event.conversation, what, clock::after(Duration::from_secs(seconds)), what.as_bytes())?;
        Ok(Disposition::Claimed)
    }
}

fn said(sent: Result<String, Refusal>) -> Result<Disposition, Failure> {
    sent?;
    Ok(Disposition::Claimed)
}

/// `name=text`, one after the other.
fn documents() -> Result<String, Refusal> {
    let mut told = String::from("there:");
    for document in documents::list()? {
        let text = documents::read(&document.name)?.unwrap_or_default();
        told.push_str(&format!(" {}={}", document.name, text.trim()));
    }
    Ok(told)
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
            return Err(Failure::Retry("it fails, as its payload says".into()));
        }
        if event.payload.contains("quiet") {
            return Ok(Disposition::Pass);
        }
        let zone = if event.for_zone { format!("members in {}", event.timezone) } else { event.timezone.clone() };
        let how = if event.caught_up { " caught up" } else { "" };
        let mut fired: Vec<String> = state::get(Scope::Plugin, "fired")?.unwrap_or_default();
        fired.push(format!(
            "{} {} {zone} {}{how} {}",
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
        // Nobody can be told any more; that it was refused is what the scenario looks for.
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
