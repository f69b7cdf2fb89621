//! Sends updates that people write, as files or in the settings, to each member as a message of their own, when a schedule of
//! the operator's says so.
//!
//! Nobody gets an update twice, whatever crashes. Who cannot be written to freely is listed with the reason, and gets the
//! latest update when they write next. A send goes through the members a step at a time, so that answers to people are not
//! held up by it.

mod item;
mod language;
mod run;
mod settings;
#[cfg(test)]
mod tests;

use beadle_plugin::prelude::*;
use item::Item;
use run::{Run, had};
use serde::Deserialize;
use settings::{CatchUp, Updates};
use std::time::Duration;

plugin!(Updates: Settings, OnSchedule, OnTimer, OnMessage, OnMessageStatus, OnDocumentsChanged);

/// Contacts that are looked at in one step, at most: most of them may have no open window.
const LOOKED_AT: usize = 500;
/// … and so many at once.
const PAGE: u32 = 100;
/// The update that who comes later gets.
const LATEST: &str = "latest";
/// Lists of who could not be written to are kept for so long.
const KEEP_MISSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a schedule's `payload` may say.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Payload {
    /// Which update; the next that waits where it is not said.
    update: Option<String>,
    /// To the admins alone, whatever holds it back; everybody gets it when its time comes.
    preview: bool,
}

impl OnSchedule for Updates {
    fn on_schedule(&self, event: ScheduleEvent) -> Result<Disposition, Failure> {
        let payload: Payload = serde_json::from_str(&event.payload)
            .map_err(|error| Failure::GiveUp(format!("payload of schedule {}: {error}", event.schedule)))?;
        let zone = event.for_zone.then_some(event.timezone.as_str());
        let (items, _) = item::all(self)?;
        let found = match &payload.update {
            Some(name) => Some(items.get(name).ok_or_else(|| Failure::GiveUp(format!("there is no update `{name}`")))?),
            None => self.next(items.values(), zone, payload.preview)?,
        };
        let Some(item) = found else {
            log::warn(format!("schedule {}: no update waits to be sent", event.schedule));
            return Ok(Disposition::Pass);
        };
        if payload.preview {
            return self.preview(item);
        }
        if let Some(why) = item.held_back(clock::now()) {
            log::warn(format!("schedule {}: {} is not sent: {why}", event.schedule, item.name));
            return Ok(Disposition::Pass);
        }
        let place = Run::place(&item.key(), zone);
        if Run::at(&place)?.is_some() {
            log::info(format!("{} was sent before; another edition would be another update", item.name));
            return Ok(Disposition::Pass);
        }
        let run = Run {
            item: item.name.clone(),
            key: item.key(),
            zone: zone.map(str::to_owned),
            began_at: clock::now(),
            ..Run::default()
        };
        run.keep()?;
        state::set(Scope::Plugin, LATEST, &(&run.item, &run.key))?;
        timers::set(Scope::Plugin, &place, clock::now(), b"")?;
        Ok(Disposition::Claimed)
    }
}

impl OnTimer for Updates {
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure> {
        let Some(mut run) = Run::at(&event.key)?.filter(|run| run.ended.is_none()) else {
            return Ok(Disposition::Pass);
        };
        let (items, _) = item::all(self)?;
        let item = items.get(&run.item).filter(|item| item.key() == run.key);
        let ended = match item.map(|item| item.held_back(clock::now())) {
            None | Some(Some("draft" | "embargo")) => Some("cancelled"),
            Some(Some(_)) => Some("expired"),
            Some(None) => None,
        };
        let ended = match (ended, item) {
            (None, Some(item)) => self.step(item, &mut run)?.then_some("sent"),
            (ended, _) => ended,
        };
        match ended {
            Some(how) => {
                run.ended = Some(how.to_owned());
                self.report(&run, how)?;
            }
            None => {
                timers::set(Scope::Plugin, &event.key, clock::after(Duration::from_secs(self.pause_seconds)), b"")?;
            }
        }
        run.keep()?;
        Ok(Disposition::Claimed)
    }
}

impl OnMessage for Updates {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        if let Some(words) = event.text().filter(|_| self.admins.contains(&event.sender.id)) {
            if words.trim() == "!updates" {
                event.reply(self.listed()?)?;
                return Ok(Disposition::Claimed);
            }
            if let Some(name) = words.trim().strip_prefix("!preview ") {
                let (items, _) = item::all(self)?;
                let speech = language::of(&event.sender, &self.language);
                let text = items.get(name.trim()).map(|item| item.text_for(&event.sender, &self.language));
                event.reply(text.filter(|text| !text.is_empty()).unwrap_or(speech.unknown))?;
                return Ok(Disposition::Claimed);
            }
        }
        if self.catch_up == CatchUp::Latest && event.sender.member && event.conversation.group.is_none() {
            self.catch_up(&event)?;
        }
        Ok(Disposition::Pass)
    }
}

impl OnMessageStatus for Updates {
    fn on_message_status(&self, event: MessageStatusEvent) -> Result<Disposition, Failure> {
        let (Some(problem), "failed") = (&event.problem, event.status.as_str()) else { return Ok(Disposition::Pass) };
        let who = Scope::Contact(event.conversation.contact.clone());
        for entry in state::scan(who.clone(), "had/", None, 1000)? {
            if entry.value::<String>().is_ok_and(|message| message == event.message) {
                // They did not have it after all: listed, and not counted as having had it.
                let key = entry.key.trim_start_matches("had/");
                let list = format!("missed/{key}/{}", event.message);
                let missed = [(&event.conversation.contact, &problem.code)];
                state::set_until(Scope::Plugin, &list, &missed, clock::after(KEEP_MISSED))?;
                state::delete(who.clone(), &entry.key)?;
                log::warn(format!(
                    "{key} did not reach {}: {} ({})",
                    event.conversation.contact, problem.title, problem.code
                ));
            }
        }
        Ok(Disposition::Pass)
    }
}

impl OnDocumentsChanged for Updates {
    fn on_documents_changed(&self, event: DocumentsChangedEvent) -> Result<Disposition, Failure> {
        let (items, problems) = item::all(self)?;
        for problem in problems {
            log::warn(problem);
        }
        log::info(format!("{} files changed; {} updates", event.changed.len() + event.removed.len(), items.len()));
        Ok(Disposition::Pass)
    }
}

impl Updates {
    /// The update that waits longest: released (or to be, where it is for a preview), not over, and not sent (to that zone)
    /// before.
    fn next<'a>(
        &self,
        items: impl Iterator<Item = &'a Item>,
        zone: Option<&str>,
        preview: bool,
    ) -> Result<Option<&'a Item>, Refusal> {
        let now = clock::now();
        let waits = |item: &&Item| match item.held_back(now) {
            Some("embargo") => preview,
            why => why.is_none(),
        };
        let mut waiting: Vec<&Item> = items.filter(waits).collect();
        waiting.sort_by_key(|item| (item.release_at, &item.name));
        for item in waiting {
            if Run::at(&Run::place(&item.key(), zone))?.is_none() {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// What members will get, to each admin in their language.
    fn preview(&self, item: &Item) -> Result<Disposition, Failure> {
        for admin in &self.admins {
            let Some(who) = contacts::get(admin)? else {
                log::warn(format!("there is no contact {admin}; `beadle contacts list` tells who is who"));
                continue;
            };
            if let Err(refusal) = messages::send(admin, item.text_for(&who, &self.language)) {
                log::warn(format!("{admin} gets no preview of {}: {}", item.name, refusal.code));
            }
        }
        Ok(Disposition::Claimed)
    }

    /// Writes to the next members; whether that were all.
    fn step(&self, item: &Item, run: &mut Run) -> Result<bool, Failure> {
        let (mut sent, mut looked_at, mut missed) = (0, 0, Vec::new());
        let begins_behind = run.after.clone().unwrap_or_default();
        let mut all = false;
        while !all && sent < self.per_step && looked_at < LOOKED_AT {
            let page = contacts::page(run.after.as_deref(), PAGE)?;
            all = page.next.is_none();
            for who in page.contacts {
                if sent == self.per_step {
                    all = false;
                    break;
                }
                looked_at += 1;
                run.after = Some(who.id.clone());
                let lives_there = run.zone.is_none() || who.timezone.is_none() || who.timezone == run.zone;
                if !who.member || !lives_there || state::get::<String>(&who, &had(&run.key))?.is_some() {
                    continue;
                }
                match messages::send(&who.id, item.text_for(&who, &self.language)) {
                    Ok(message) => {
                        state::set(&who, &had(&run.key), &message)?;
                        sent += 1;
                    }
                    Err(refusal) => {
                        *run.missed.entry(refusal.code.clone()).or_default() += 1;
                        missed.push((who.id, refusal.code));
                    }
                }
            }
        }
        run.sent += sent;
        if !missed.is_empty() {
            let list = format!("missed/{}/{begins_behind}", run.key);
            state::set_until(Scope::Plugin, &list, &missed, clock::after(KEEP_MISSED))?;
        }
        Ok(all)
    }

    /// The latest update, for who has not had it.
    fn catch_up(&self, event: &MessageEvent) -> Result<(), Failure> {
        let Some((name, key)) = state::get::<(String, String)>(Scope::Plugin, LATEST)? else { return Ok(()) };
        // Most have had it, and are not worth reading the files for.
        if state::get::<String>(&event.sender, &had(&key))?.is_some() {
            return Ok(());
        }
        let (items, _) = item::all(self)?;
        let Some(item) = items.get(&name).filter(|item| item.key() == key && item.held_back(clock::now()).is_none())
        else {
            return Ok(());
        };
        match event.reply(item.text_for(&event.sender, &self.language)) {
            Ok(message) => state::set(&event.sender, &had(&key), &message)?,
            // The message came too late for an answer.
            Err(refusal) if refusal.code == "window-closed" => {}
            Err(refusal) => return Err(refusal.into()),
        }
        Ok(())
    }

    /// What became of a send, for the operator's log and for the admins.
    fn report(&self, run: &Run, how: &str) -> Result<(), Failure> {
        let missed: Vec<String> = run.missed.iter().map(|(why, count)| format!("{count} {why}")).collect();
        log::info(format!("{}: {how}, to {} members; not to: {}", run.key, run.sent, missed.join(", ")));
        for admin in &self.admins {
            let Some(who) = contacts::get(admin)? else { continue };
            let text = language::of(&who, &self.language).report(&run.item, run.sent, &missed);
            if let Err(refusal) = messages::send(admin, text) {
                log::info(format!("{admin} gets no report: {}", refusal.code));
            }
        }
        Ok(())
    }

    /// Every update with how it stands, and what is wrong with files.
    fn listed(&self) -> Result<String, Refusal> {
        let (items, problems) = item::all(self)?;
        let mut lines = Vec::new();
        for item in items.values() {
            let run = Run::at(&Run::place(&item.key(), None))?;
            let stands = match (run, item.held_back(clock::now())) {
                (Some(run), _) => format!("{} ({})", run.ended.unwrap_or_else(|| "…".to_owned()), run.sent),
                (None, Some(why)) => why.to_owned(),
                (None, None) => "–".to_owned(),
            };
            lines.push(format!("{}: {stands}", item.key()));
        }
        lines.extend(problems.iter().map(|problem| format!("⚠ {problem}")));
        Ok(if lines.is_empty() { "–".to_owned() } else { lines.join("\n") })
    }
}
