//! Sends updates, written by people as files or in the settings, to every member as an individual
//! message, when a schedule fires.
//!
//! No one gets an update twice, even after a crash. Members whose window is closed are notified by
//! a template, if the settings name one; the others are listed with the reason. Both get the latest
//! update when they write next. A run sends step by step, so that it does not delay answers. With
//! `broadcast`, one of Beadle's broadcasts sends the update instead.

mod broadcast;
mod language;
mod run;
mod settings;
#[cfg(test)]
mod tests;
mod update;

use beadle_plugin::prelude::*;
use language::texts_for;
use run::{Run, announced, received};
use serde::Deserialize;
use settings::{MissedUpdates, Updates};
use std::time::Duration;
use update::{Hold, Update};

plugin!(Updates: Settings, OnSchedule, OnTimer, OnMessage, OnMessageStatus, OnDocumentsChanged);

/// The maximum of contacts checked in one step: most of them may have no open window.
const CHECKED_PER_STEP: usize = 500;
/// Contacts read at once.
const PAGE: u32 = 100;
/// The key of the latest update.
const LATEST: &str = "latest";
/// How long lists of members who could not be sent to are kept.
const KEEP_MISSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The `payload` of a schedule.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Payload {
    /// The update to send. None: the next one that is waiting.
    update: Option<String>,
    /// Send it to the admins only, even before its release.
    preview: bool,
}

impl OnSchedule for Updates {
    fn on_schedule(&self, event: ScheduleEvent) -> Result<Disposition, Failure> {
        let payload: Payload = serde_json::from_str(&event.payload)
            .map_err(|error| Failure::GiveUp(format!("payload of schedule {}: {error}", event.schedule)))?;
        let zone = event.for_zone.then_some(event.timezone.as_str());
        let (updates, _) = update::all(self)?;
        let found = match &payload.update {
            Some(name) => {
                Some(updates.get(name).ok_or_else(|| Failure::GiveUp(format!("there is no update `{name}`")))?)
            }
            None => self.next(updates.values(), zone, payload.preview)?,
        };
        let Some(update) = found else {
            log::warn(format!("schedule {}: no update is waiting", event.schedule));
            return Ok(Disposition::Pass);
        };
        if payload.preview {
            return self.preview(update);
        }
        if let Some(hold) = update.hold(clock::now()) {
            log::warn(format!("schedule {}: {} is not sent: {}", event.schedule, update.name, hold.name()));
            return Ok(Disposition::Pass);
        }
        let state_key = Run::state_key(&update.key(), zone);
        if Run::load(&state_key)?.is_some() {
            log::info(format!("{} was sent before; to send it again, change its edition", update.name));
            return Ok(Disposition::Pass);
        }
        let broadcast = match &self.broadcast {
            Some(_) if zone.is_some() => {
                let message = format!(
                    "schedule {}: a broadcast is for all zones; remove `timezone = \"member\"`",
                    event.schedule
                );
                return Err(Failure::GiveUp(message));
            }
            Some(settings) => Some(broadcast::start(self, settings, update)?),
            None => None,
        };
        let run = Run {
            update: update.name.clone(),
            key: update.key(),
            broadcast,
            zone: zone.map(str::to_owned),
            started_at: clock::now(),
            ..Run::default()
        };
        run.save()?;
        state::set(Scope::Plugin, LATEST, &(&run.update, &run.key))?;
        timers::set(Scope::Plugin, &state_key, clock::now(), b"")?;
        Ok(Disposition::Claimed)
    }
}

impl OnTimer for Updates {
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure> {
        let Some(mut run) = Run::load(&event.key)?.filter(|run| run.ended.is_none()) else {
            return Ok(Disposition::Pass);
        };
        if let Some(name) = run.broadcast.clone() {
            match broadcast::follow(&name, &mut run)? {
                Some(outcome) => {
                    run.ended = Some(outcome.to_owned());
                    self.report(&run, outcome)?;
                }
                None => timers::set(Scope::Plugin, &event.key, clock::after(broadcast::PROGRESS_INTERVAL), b"")?,
            }
            run.save()?;
            return Ok(Disposition::Claimed);
        }
        let (updates, _) = update::all(self)?;
        let update = updates.get(&run.update).filter(|update| update.key() == run.key);
        let ended = match update.map(|update| update.hold(clock::now())) {
            None | Some(Some(Hold::Draft | Hold::Embargo)) => Some("cancelled"),
            Some(Some(Hold::Expired)) => Some("expired"),
            Some(None) => None,
        };
        let ended = match (ended, update) {
            (None, Some(update)) => self.step(update, &mut run)?.then_some("sent"),
            (ended, _) => ended,
        };
        match ended {
            Some(outcome) => {
                run.ended = Some(outcome.to_owned());
                self.report(&run, outcome)?;
            }
            None => {
                timers::set(Scope::Plugin, &event.key, clock::after(Duration::from_secs(self.pause_seconds)), b"")?;
            }
        }
        run.save()?;
        Ok(Disposition::Claimed)
    }
}

impl OnMessage for Updates {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        if let Some(text) = event.text().filter(|_| event.sender.is_admin()) {
            if text.trim() == "!updates" {
                event.reply(self.overview()?)?;
                return Ok(Disposition::Claimed);
            }
            if let Some(name) = text.trim().strip_prefix("!preview ") {
                let (updates, _) = update::all(self)?;
                let text = updates.get(name.trim()).map(|update| update.text_for(&event.sender, &self.language));
                let unknown = || texts_for(&event.sender, &self.language).map_or("", |texts| texts.unknown);
                event.reply(text.filter(|text| !text.is_empty()).unwrap_or_else(unknown))?;
                return Ok(Disposition::Claimed);
            }
        }
        // The segment and their consent decide who gets a broadcast, not that they write.
        let sends_missed = self.missed_updates == MissedUpdates::Latest && self.broadcast.is_none();
        if sends_missed && event.sender.member && !event.conversation.is_group {
            self.send_missed(&event)?;
        }
        Ok(Disposition::Pass)
    }
}

impl OnMessageStatus for Updates {
    fn on_message_status(&self, event: MessageStatusEvent) -> Result<Disposition, Failure> {
        let (Some(problem), "failed") = (&event.problem, event.status.as_str()) else { return Ok(Disposition::Pass) };
        let scope = Scope::Contact(event.conversation.contact.clone());
        let mut entries = state::scan(scope.clone(), "received/", None, 1000)?;
        entries.extend(state::scan(scope.clone(), "announced/", None, 1000)?);
        for entry in entries {
            if entry.value::<String>().is_ok_and(|message| message == event.message) {
                // They did not get it after all.
                let key = entry.key.split_once('/').map_or("", |(_, key)| key);
                let list = format!("missed/{key}/{}", event.message);
                let missed = [(&event.conversation.contact, &problem.code)];
                state::set_until(Scope::Plugin, &list, &missed, clock::after(KEEP_MISSED))?;
                state::delete(scope.clone(), &entry.key)?;
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
        let (updates, problems) = update::all(self)?;
        for problem in problems {
            log::warn(problem);
        }
        log::info(format!("changed files: {}; updates: {}", event.changed.len() + event.removed.len(), updates.len()));
        Ok(Disposition::Pass)
    }
}

/// Whether a member has got an update or was notified of it.
fn has_got(contact: &Contact, key: &str) -> Result<bool, Refusal> {
    Ok(state::get::<String>(contact, &received(key))?.is_some()
        || state::get::<String>(contact, &announced(key))?.is_some())
}

impl Updates {
    /// The update that has been waiting longest: released (or not yet, for a preview), not expired,
    /// and not sent before (in that zone).
    fn next<'a>(
        &self,
        updates: impl Iterator<Item = &'a Update>,
        zone: Option<&str>,
        preview: bool,
    ) -> Result<Option<&'a Update>, Refusal> {
        let now = clock::now();
        let is_waiting = |update: &&Update| match update.hold(now) {
            Some(Hold::Embargo) => preview,
            hold => hold.is_none(),
        };
        let mut waiting: Vec<&Update> = updates.filter(is_waiting).collect();
        waiting.sort_by_key(|update| (update.release_at, &update.name));
        for update in waiting {
            if Run::load(&Run::state_key(&update.key(), zone))?.is_none() {
                return Ok(Some(update));
            }
        }
        Ok(None)
    }

    /// Sends an update to each admin in their language.
    fn preview(&self, update: &Update) -> Result<Disposition, Failure> {
        let admins = contacts::admins()?;
        if admins.is_empty() {
            log::warn("nobody is an admin; run `beadle contacts set ID --role admin`");
        }
        for admin in admins {
            if let Err(refusal) = messages::send(&admin.id, update.text_for(&admin, &self.language)) {
                log::warn(format!("preview of {} not sent to {}: {}", update.name, admin.id, refusal.code));
            }
        }
        Ok(Disposition::Claimed)
    }

    /// Sends to the next members. Returns whether these were the last.
    fn step(&self, update: &Update, run: &mut Run) -> Result<bool, Failure> {
        let (mut sent, mut checked, mut missed) = (0, 0, Vec::new());
        let start = run.after.clone().unwrap_or_default();
        let mut all = false;
        while !all && sent < self.per_step && checked < CHECKED_PER_STEP {
            let page = contacts::page(run.after.as_deref(), PAGE)?;
            all = page.next.is_none();
            for contact in page.contacts {
                if sent == self.per_step {
                    all = false;
                    break;
                }
                checked += 1;
                run.after = Some(contact.id.clone());
                let lives_there = run.zone.is_none() || contact.timezone.is_none() || contact.timezone == run.zone;
                if !contact.member || !lives_there || has_got(&contact, &run.key)? {
                    continue;
                }
                match self.send(&contact, update.text_for(&contact, &self.language), &run.key) {
                    Ok(was_announced) => {
                        run.announced += u32::from(was_announced);
                        sent += 1;
                    }
                    Err(refusal) => {
                        *run.missed.entry(refusal.code.clone()).or_default() += 1;
                        missed.push((contact.id, refusal.code));
                    }
                }
            }
        }
        run.sent += sent;
        if !missed.is_empty() {
            let list = format!("missed/{}/{start}", run.key);
            state::set_until(Scope::Plugin, &list, &missed, clock::after(KEEP_MISSED))?;
        }
        Ok(all)
    }

    /// Sends an update to a member; if their window is closed, the template that notifies them of
    /// it. Returns whether it was the template.
    fn send(&self, contact: &Contact, text: &str, key: &str) -> Result<bool, Refusal> {
        match (messages::send(&contact.id, text), &self.template) {
            (Ok(message), _) => state::set(contact, &received(key), &message).map(|()| false),
            (Err(refusal), Some(template)) if refusal.code == "window-closed" => {
                let template = Template::in_their_language(template).text(update::first_line(text));
                let template = Template { topic: self.topic.clone(), ..template };
                let message = messages::send(&contact.id, template)?;
                state::set(contact, &announced(key), &message).map(|()| true)
            }
            (Err(refusal), _) => Err(refusal),
        }
    }

    /// Sends the latest update to a member who has not got it.
    fn send_missed(&self, event: &MessageEvent) -> Result<(), Failure> {
        let Some((name, key)) = state::get::<(String, String)>(Scope::Plugin, LATEST)? else { return Ok(()) };
        // Most members have got it, so files are read only if not.
        if state::get::<String>(&event.sender, &received(&key))?.is_some() {
            return Ok(());
        }
        let (updates, _) = update::all(self)?;
        let is_current = |update: &&Update| update.key() == key && update.hold(clock::now()).is_none();
        let Some(update) = updates.get(&name).filter(is_current) else { return Ok(()) };
        match event.reply(update.text_for(&event.sender, &self.language)) {
            Ok(message) => state::set(&event.sender, &received(&key), &message)?,
            // The message arrived after its window had closed.
            Err(refusal) if refusal.code == "window-closed" => {}
            Err(refusal) => return Err(refusal.into()),
        }
        Ok(())
    }

    /// Reports the end of a run in the log and to the admins.
    fn report(&self, run: &Run, outcome: &str) -> Result<(), Failure> {
        let missed: Vec<String> = run.missed.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        log::info(format!(
            "{}: {outcome}; {} members reached, {} of them by template; not sent: {}",
            run.key,
            run.sent,
            run.announced,
            missed.join(", ")
        ));
        for admin in contacts::admins()? {
            let Some(texts) = texts_for(&admin, &self.language) else { continue };
            if let Err(refusal) = messages::send(&admin.id, texts.report(&run.update, run.sent, &missed)) {
                log::info(format!("report not sent to {}: {}", admin.id, refusal.code));
            }
        }
        Ok(())
    }

    /// Every update with its state, and the errors in files.
    fn overview(&self) -> Result<String, Refusal> {
        let (updates, problems) = update::all(self)?;
        let mut lines = Vec::new();
        for update in updates.values() {
            let run = Run::load(&Run::state_key(&update.key(), None))?;
            let status = match (run, update.hold(clock::now())) {
                (Some(Run { ended: None, sent, .. }), _) => format!("running, {sent} sent"),
                (Some(Run { ended: Some(outcome), sent, .. }), _) if outcome == "sent" => {
                    format!("sent to {sent} members")
                }
                (Some(Run { ended: Some(outcome), sent, .. }), _) => format!("{outcome}, {sent} sent"),
                (None, Some(hold)) => hold.name().to_owned(),
                (None, None) => "waiting".to_owned(),
            };
            lines.push(format!("{}: {status}", update.key()));
        }
        lines.extend(problems.iter().map(|problem| format!("⚠ {problem}")));
        Ok(if lines.is_empty() { "no updates".to_owned() } else { lines.join("\n") })
    }
}
