//! The backfill: every contact of the CRM and every member, once, in two phases. First it reads the
//! contacts and notes which members each could be; then it goes through the members, links, creates
//! or reports them. Its place is kept after every page, so it continues after a restart.

use crate::host::{HostResult, Lane, Scope};
use crate::link::Status;
use crate::port::{Answer, Operation, ProviderError, Record};
use crate::session::{Context, Entry, EntryKind, Purpose, Session};
use serde::{Deserialize, Serialize};

/// The key of its state.
const BACKFILL: &str = "backfill";
/// Keys of members with the contacts that they could be.
const CANDIDATES: &str = "fill/";
/// Keys of contacts of which only the names are known, and names of one entry: below 256 KiB.
const NAMES: &str = "names/";
const NAMES_PER_CHUNK: usize = 2000;
/// Members per event: up to five effects each, of 100.
const MEMBERS_PER_STEP: usize = 20;
/// The pause between steps: half of a usual account's rate is left for live changes.
const STEP_MS: i64 = 1_000;
/// Contacts that one member is noted with.
const MAX_CANDIDATES: usize = 10;

/// Where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not started.
    #[default]
    None,
    /// Reading the contacts.
    Contacts,
    /// Going through the members.
    Members,
    /// At its end.
    Done,
}

/// Its state, and its report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backfill {
    /// Where it is.
    pub phase: Phase,
    /// Whether nothing is changed.
    pub is_dry_run: bool,
    /// Whether the operator stopped it.
    pub is_stopped: bool,
    /// The page of contacts, or the last member.
    pub place: Option<String>,
    /// The number of the last request.
    pub sequence: u32,
    /// Whether it has no answer yet.
    pub is_pending: bool,
    /// Contacts read.
    pub contacts: u64,
    /// Members looked at.
    pub members: u64,
    /// Members who get a contact.
    pub create: u64,
    /// Members who are linked to a contact that is there.
    pub link: u64,
    /// Linked contacts that differ.
    pub update: u64,
    /// Members who could be several contacts, or a contact of another member.
    pub conflict: u64,
    /// Members without a contact, who may not get one.
    pub skip_no_consent: u64,
}

impl Session<'_> {
    /// Its state.
    pub fn backfill_state(&self) -> HostResult<Backfill> {
        Ok(self.load(&Scope::Plugin, BACKFILL)?.unwrap_or_default())
    }

    fn save_backfill(&mut self, backfill: &Backfill) -> HostResult {
        self.save(&Scope::Plugin, BACKFILL, backfill)
    }

    /// Starts it from the beginning.
    pub fn start_backfill(&mut self, is_dry_run: bool) -> HostResult<Result<(), String>> {
        let earlier = self.backfill_state()?;
        let is_running = matches!(earlier.phase, Phase::Contacts | Phase::Members) && !earlier.is_stopped;
        if is_running {
            return Ok(Err("a backfill is running; stop it first".to_owned()));
        }
        let backfill =
            Backfill { phase: Phase::Contacts, is_dry_run, sequence: earlier.sequence, ..Backfill::default() };
        self.save_backfill(&backfill)?;
        self.backfill_step()?;
        Ok(Ok(()))
    }

    /// Stops it; it can be resumed.
    pub fn stop_backfill(&mut self) -> HostResult {
        let mut backfill = self.backfill_state()?;
        backfill.is_stopped = true;
        self.save_backfill(&backfill)
    }

    /// Continues where it was stopped.
    pub fn resume_backfill(&mut self) -> HostResult {
        let mut backfill = self.backfill_state()?;
        backfill.is_stopped = false;
        self.save_backfill(&backfill)?;
        self.backfill_step()
    }

    /// Does the next step.
    pub fn backfill_step(&mut self) -> HostResult {
        let mut backfill = self.backfill_state()?;
        if backfill.is_stopped || backfill.is_pending {
            return Ok(());
        }
        match backfill.phase {
            Phase::None | Phase::Done => Ok(()),
            Phase::Contacts if !self.provider.abilities().can_read => {
                backfill.phase = Phase::Members;
                self.save_backfill(&backfill)?;
                self.backfill_members(backfill)
            }
            Phase::Contacts => {
                let limit = self.settings.backfill.page;
                let operation = Operation::List { page: backfill.place.clone(), limit };
                let Ok(http) = self.provider.request(&operation) else { return Ok(()) };
                backfill.sequence = backfill.sequence.wrapping_add(1);
                backfill.is_pending = true;
                self.save_backfill(&backfill)?;
                let context = Context {
                    purpose: Purpose::Backfill,
                    contact: String::new(),
                    sequence: backfill.sequence,
                    operation,
                    step: 0,
                    bases: Vec::new(),
                    lane: Lane::Backfill,
                };
                let key = format!("backfill/{}", backfill.sequence);
                self.send(key, "backfill".to_owned(), Lane::Backfill, http, &context)
            }
            Phase::Members => self.backfill_members(backfill),
        }
    }

    /// A page of contacts.
    pub fn backfilled(&mut self, context: &Context, result: Result<Answer, ProviderError>) -> HostResult {
        let mut backfill = self.backfill_state()?;
        if backfill.sequence != context.sequence || !backfill.is_pending {
            return Ok(());
        }
        backfill.is_pending = false;
        let next = match result {
            Ok(Answer::Records { records, next }) => {
                backfill.contacts += records.len() as u64;
                for record in &records {
                    self.note_candidate(&mut backfill, record)?;
                }
                next
            }
            // Names only: they are read in steps, before the members.
            Ok(Answer::Changes { changed, next, .. }) => {
                let ids: Vec<String> = changed.into_iter().filter(|one| !one.is_deleted).map(|one| one.id).collect();
                backfill.contacts += ids.len() as u64;
                self.save_names(&ids)?;
                next
            }
            other => {
                let line = format!("backfill: page failed: {other:?}");
                self.host.log(&line.chars().take(300).collect::<String>());
                self.save_backfill(&backfill)?;
                return self.host.timer("backfill", self.host.now_ms() + 60_000);
            }
        };
        if next.is_none() {
            backfill.phase = Phase::Members;
        }
        backfill.place = next;
        self.save_backfill(&backfill)?;
        self.host.timer("backfill", self.host.now_ms() + STEP_MS)
    }

    /// The host could not read a page.
    pub fn backfill_not_carried_out(&mut self, context: &Context) -> HostResult {
        self.backfilled(context, Err(ProviderError::Later(None)))
    }

    fn save_names(&mut self, ids: &[String]) -> HostResult {
        let first = self.take_numbers(ids.len().div_ceil(NAMES_PER_CHUNK))?;
        for (number, chunk) in (first..).zip(ids.chunks(NAMES_PER_CHUNK)) {
            self.save(&Scope::Plugin, &format!("{NAMES}{number:012}"), &chunk)?;
        }
        Ok(())
    }

    /// Reads the next contacts of which only the names are known. Returns whether there were some.
    fn look_up_names(&mut self) -> HostResult<bool> {
        let Some((key, bytes)) = self.host.scan(&Scope::Plugin, NAMES, None, 1)?.into_iter().next() else {
            return Ok(false);
        };
        let mut ids: Vec<String> = serde_json::from_slice(&bytes).unwrap_or_default();
        let later = ids.split_off(ids.len().min(self.settings.backfill.page));
        if later.is_empty() {
            self.host.delete(&Scope::Plugin, &key)?;
        } else {
            self.save(&Scope::Plugin, &key, &later)?;
        }
        self.look_up(ids, "backfill")?;
        Ok(true)
    }

    /// Contacts of which only the names were known.
    pub fn backfill_looked(&mut self, context: &Context, result: Result<Answer, ProviderError>) -> HostResult {
        let mut backfill = self.backfill_state()?;
        backfill.is_pending = false;
        match result {
            Ok(Answer::Records { records, .. }) => {
                for record in &records {
                    self.note_candidate(&mut backfill, record)?;
                }
            }
            _ => {
                let Operation::GetMany { ids } = &context.operation else { return Ok(()) };
                self.save_names(ids)?;
            }
        }
        self.save_backfill(&backfill)?;
        self.host.timer("backfill", self.host.now_ms() + STEP_MS)
    }

    /// Notes which members a contact could be.
    fn note_candidate(&mut self, backfill: &mut Backfill, record: &Record) -> HostResult {
        if let Some(contact) = self.owner(&record.id)? {
            let link = self.link(&contact)?;
            if !self.is_known(&link, &record.fields, &record.phones) {
                backfill.update += 1;
                if !backfill.is_dry_run {
                    self.crm_changed(&contact, Lane::Backfill)?;
                }
            }
            return Ok(());
        }
        for contact in self.candidates(record)? {
            let key = format!("{CANDIDATES}{contact}");
            let mut ids: Vec<String> = self.load(&Scope::Plugin, &key)?.unwrap_or_default();
            if !ids.contains(&record.id) && ids.len() < MAX_CANDIDATES {
                ids.push(record.id.clone());
                self.save(&Scope::Plugin, &key, &ids)?;
            }
        }
        Ok(())
    }

    fn backfill_members(&mut self, mut backfill: Backfill) -> HostResult {
        if self.look_up_names()? {
            backfill.is_pending = true;
            return self.save_backfill(&backfill);
        }
        let (ids, next) = self.host.members(backfill.place.as_deref(), MEMBERS_PER_STEP)?;
        for id in &ids {
            self.backfill_member(&mut backfill, id)?;
        }
        backfill.place = next;
        if backfill.place.is_none() {
            backfill.phase = Phase::Done;
            return self.save_backfill(&backfill);
        }
        self.save_backfill(&backfill)?;
        self.host.timer("backfill", self.host.now_ms() + STEP_MS)
    }

    fn backfill_member(&mut self, backfill: &mut Backfill, id: &str) -> HostResult {
        let key = format!("{CANDIDATES}{id}");
        let ids: Vec<String> = self.load(&Scope::Plugin, &key)?.unwrap_or_default();
        if !ids.is_empty() {
            self.host.delete(&Scope::Plugin, &key)?;
        }
        let Some(member) = self.host.member(id)? else { return Ok(()) };
        let mut link = self.link(id)?;
        backfill.members += 1;
        match link.status {
            Status::Linked if ids.is_empty() => return Ok(()),
            Status::CrmDeleted | Status::Failed | Status::Conflict => return Ok(()),
            _ => {}
        }
        let is_linked = link.status == Status::Linked;
        match ids.as_slice() {
            [] if self.may_create(&member, &link) => {
                backfill.create += 1;
                if !backfill.is_dry_run {
                    link.is_member_changed = true;
                    self.save_link(id, &link)?;
                    self.wake(id, 0, Lane::Backfill)?;
                }
            }
            [] => backfill.skip_no_consent += 1,
            [one] if !is_linked && link.pending == 0 => {
                backfill.link += 1;
                if !backfill.is_dry_run {
                    self.link_to(&member, link, one, Lane::Backfill)?;
                }
            }
            _ => {
                backfill.conflict += 1;
                if backfill.is_dry_run {
                    return Ok(());
                }
                let kind = if is_linked { EntryKind::Duplicate } else { EntryKind::Several };
                if !is_linked && link.pending == 0 {
                    link.status = Status::Conflict;
                    self.save_link(id, &link)?;
                }
                let at_ms = self.host.now_ms();
                self.enqueue(Entry {
                    contact: id.to_owned(),
                    kind,
                    field: String::new(),
                    member: None,
                    crm: None,
                    ids,
                    reason: "several contacts have the person's number".to_owned(),
                    at_ms,
                })?;
            }
        }
        Ok(())
    }
}
