//! Erasure, merges of members, and notes.
//!
//! An erased person stays erased: keyed hashes of their numbers and of their contact's id remain,
//! so that neither a poll nor a backfill brings them back.

use crate::host::{HostResult, Lane, Scope};
use crate::link::Status;
use crate::member::Member;
use crate::phone;
use crate::port::Operation;
use crate::session::{Context, EntryKind, Purpose, Session};
use crate::settings::OnErase;
use crate::time;

/// The key of lines for a note, in the scope of the contact.
const LINES: &str = "note";
/// Lines of a note, and characters of a line.
const MAX_LINES: usize = 20;
const MAX_LINE_CHARS: usize = 200;
/// How long lines are collected.
const NOTE_DELAY_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Keys of contacts that are to be deleted.
const FORGET: &str = "forget/";
/// When a deletion is repeated, and how many at once.
const FORGET_RETRY_MS: i64 = 600_000;
const FORGET_PER_STEP: usize = 20;

impl Session<'_> {
    /// Erases a person: every id that they had. Safe to repeat.
    pub fn erase(&mut self, ids: &[String], member: Option<&Member>) -> HostResult {
        for id in ids {
            self.set_erased(id)?;
            let link = self.link(id)?;
            if let Some(crm_id) = &link.crm_id {
                self.set_erased(crm_id)?;
                self.remove_owner(crm_id)?;
                if self.settings.on_erase == OnErase::Delete {
                    self.delete_contact(crm_id)?;
                }
            }
            self.forget_queue(id)?;
            self.host.delete(&Scope::Contact(id.clone()), LINES)?;
            self.host.delete(&Scope::Plugin, &format!("fill/{id}"))?;
        }
        for digits in member.iter().flat_map(|member| &member.phones) {
            self.set_erased(&phone::canonical(digits))?;
        }
        Ok(())
    }

    /// Asks the CRM to delete a contact.
    pub fn delete_contact(&mut self, crm_id: &str) -> HostResult {
        let operation = Operation::Delete { id: crm_id.to_owned() };
        let Ok(http) = self.provider.request(&operation) else { return Ok(()) };
        let context = Context {
            purpose: Purpose::Erase,
            contact: String::new(),
            sequence: 0,
            operation,
            step: 0,
            bases: Vec::new(),
            lane: Lane::Live,
        };
        self.host.set(&Scope::Plugin, &format!("{FORGET}{crm_id}"), Vec::new())?;
        let key = format!("erase/{crm_id}/{}", self.take_numbers(1)?);
        self.send(key, format!("erase/{crm_id}"), Lane::Live, http, &context)
    }

    /// The answer to a deletion: it is repeated until it has succeeded.
    pub fn deleted(&mut self, context: &Context, is_done: bool) -> HostResult {
        let Operation::Delete { id } = &context.operation else { return Ok(()) };
        if is_done {
            return self.host.delete(&Scope::Plugin, &format!("{FORGET}{id}"));
        }
        self.host.log("a contact of an erased person is not deleted in the CRM yet");
        let at_ms = self.host.now_ms().saturating_add(FORGET_RETRY_MS);
        self.host.timer("forget", at_ms)
    }

    /// Repeats deletions.
    pub fn delete_again(&mut self) -> HostResult {
        let waiting = self.host.scan(&Scope::Plugin, FORGET, None, FORGET_PER_STEP)?;
        for (key, _) in &waiting {
            self.delete_contact(key.strip_prefix(FORGET).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Two members became one. The host has moved the removed one's state, unless the kept one had
    /// some under the same key.
    pub fn merged(&mut self, kept: &str, removed: &str) -> HostResult {
        let mut link = self.link(kept)?;
        // Answers to requests of either are no longer waited for: what they did is read again.
        link.pending = 0;
        link.is_member_changed = true;
        link.is_crm_changed = link.status == Status::Linked;
        link.changed_ms = self.host.now_ms();
        if let Some(crm_id) = link.crm_id.clone() {
            self.set_owner(&crm_id, kept)?;
        }
        self.save_link(kept, &link)?;
        self.host.delete(&Scope::Plugin, &format!("queued/{removed}"))?;
        if !self.entries_of(kept)?.is_empty() {
            self.host.set(&Scope::Plugin, &format!("queued/{kept}"), Vec::new())?;
        }
        self.wake(kept, 0, Lane::Live)
    }

    /// Adds a line to a person's next note.
    pub fn add_line(&mut self, contact: &str, line: &str) -> HostResult {
        if !self.settings.notes || !self.provider.abilities().can_note {
            return Ok(());
        }
        let scope = Scope::Contact(contact.to_owned());
        let mut lines: Vec<String> = self.load(&scope, LINES)?.unwrap_or_default();
        if lines.len() >= MAX_LINES {
            return Ok(());
        }
        lines.push(line.chars().take(MAX_LINE_CHARS).collect());
        self.save(&scope, LINES, &lines)?;
        if lines.len() == 1 {
            let at_ms = self.host.now_ms().saturating_add(NOTE_DELAY_MS);
            self.host.timer(&format!("note/{contact}"), at_ms)?;
        }
        Ok(())
    }

    /// Writes a person's note, at most one a day (UTC).
    pub fn write_note(&mut self, contact: &str) -> HostResult {
        let scope = Scope::Contact(contact.to_owned());
        let mut link = self.link(contact)?;
        let Some(lines) = self.load::<Vec<String>>(&scope, LINES)? else { return Ok(()) };
        let Some(id) = link.crm_id.clone().filter(|_| link.status == Status::Linked) else {
            return self.host.delete(&scope, LINES);
        };
        let now_ms = self.host.now_ms();
        let today = time::day(now_ms);
        if link.note_day >= today && link.note_day != 0 {
            let tomorrow_ms = (i64::from(link.note_day) + 1) * DAY_MS;
            return self.host.timer(&format!("note/{contact}"), tomorrow_ms);
        }
        let operation = Operation::Note { id, text: lines.join("\n"), at_ms: now_ms };
        self.host.delete(&scope, LINES)?;
        let Ok(http) = self.provider.request(&operation) else { return Ok(()) };
        link.note_day = today;
        self.save_link(contact, &link)?;
        let context = Context {
            purpose: Purpose::Note,
            contact: contact.to_owned(),
            sequence: 0,
            operation: operation.without_content(),
            step: 0,
            bases: Vec::new(),
            lane: Lane::Live,
        };
        self.send(format!("note/{contact}/{today}"), format!("person/{contact}"), Lane::Live, http, &context)
    }

    /// Links a person whose contacts were several, or who was given up, as the operator says.
    pub fn relink(&mut self, contact: &str, crm_id: Option<&str>) -> HostResult<Result<(), String>> {
        let Some(member) = self.host.member(contact)? else {
            return Ok(Err(format!("there is no contact `{contact}`")));
        };
        let mut link = self.link(&member.id)?;
        if let Some(owner) = crm_id.map(|id| self.owner(id)).transpose()?.flatten().filter(|owner| *owner != member.id)
        {
            return Ok(Err(format!("`{}` is linked to {owner}", crm_id.unwrap_or_default())));
        }
        if let Some(id) = link.crm_id.take() {
            self.remove_owner(&id)?;
            link.fields.clear();
        }
        link.sent = None;
        link.status = Status::Unlinked;
        link.tries = 0;
        link.pending = 0;
        for kind in [EntryKind::Several, EntryKind::Taken, EntryKind::Duplicate, EntryKind::DeadLetter] {
            self.dequeue(&member.id, kind.name())?;
        }
        match crm_id {
            Some(id) => self.link_to(&member, link, id, Lane::Live)?,
            None => {
                link.is_member_changed = true;
                self.save_link(&member.id, &link)?;
                self.sync(&member.id, Lane::Live)?;
            }
        }
        Ok(Ok(()))
    }
}
