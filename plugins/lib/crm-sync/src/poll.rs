//! Changes in the CRM: by poll, with an overlap, and by hook. Both only say whom to look at.

use crate::host::{HostResult, Lane, Outcome, Scope};
use crate::link::Status;
use crate::phone;
use crate::port::{Answer, Changed, Cursor, Hint, Operation, ProviderError, Record};
use crate::session::{Context, Entry, EntryKind, Purpose, Session};
use crate::settings::OnErase;
use crate::value::hash_text;
use serde::{Deserialize, Serialize};

/// The key of the poll's state.
const POLL: &str = "poll";
/// Keys of contacts that are still to be looked at.
const TODO: &str = "todo/";
/// How far a poll looks back behind the newest change that it saw: clocks of a cluster differ, and
/// a transaction may end after one that began later.
pub const OVERLAP_MS: i64 = 120_000;
/// Contacts looked at in one event: two effects each, of 100.
const PER_STEP: usize = 40;
/// Contacts of one entry of the list: about 64 KiB.
const PER_CHUNK: usize = 1000;

/// The state of the poll.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    /// From where the next poll asks; `None` before the first.
    pub since: Option<String>,
    /// The page that is read.
    #[serde(default)]
    pub page: Option<String>,
    /// The newest change seen in this poll.
    #[serde(default)]
    pub newest_ms: i64,
    /// The number of the last request.
    #[serde(default)]
    pub sequence: u32,
    /// Whether it has no answer yet.
    #[serde(default)]
    pub is_pending: bool,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
}

impl Session<'_> {
    /// The state of the poll.
    pub fn poll_state(&self) -> HostResult<Poll> {
        Ok(self.load(&Scope::Plugin, POLL)?.unwrap_or_default())
    }

    /// Starts a poll, unless one is under way.
    pub fn poll(&mut self) -> HostResult {
        let mut poll = self.poll_state()?;
        let cursor = self.provider.abilities().cursor;
        if poll.is_pending || cursor == Cursor::None {
            return Ok(());
        }
        // What was before is the backfill's.
        let first = match cursor {
            Cursor::Time => (self.host.now_ms() - OVERLAP_MS).to_string(),
            _ => String::new(),
        };
        let since = poll.since.get_or_insert(first).clone();
        self.ask_changes(poll, since)
    }

    fn ask_changes(&mut self, mut poll: Poll, since: String) -> HostResult {
        let operation = Operation::Changes { since, page: poll.page.clone() };
        let Ok(http) = self.provider.request(&operation) else { return Ok(()) };
        poll.sequence = poll.sequence.wrapping_add(1);
        poll.is_pending = true;
        let context = Context {
            purpose: Purpose::Poll,
            contact: String::new(),
            sequence: poll.sequence,
            operation,
            step: 0,
            bases: Vec::new(),
            lane: Lane::Live,
        };
        let key = format!("poll/{}", poll.sequence);
        self.save(&Scope::Plugin, POLL, &poll)?;
        self.send(key, "poll".to_owned(), Lane::Live, http, &context)
    }

    /// The answer to a poll.
    pub fn polled(&mut self, context: &Context, result: Result<Answer, ProviderError>) -> HostResult {
        let mut poll = self.poll_state()?;
        if poll.sequence != context.sequence || !poll.is_pending {
            return Ok(());
        }
        poll.is_pending = false;
        let next_ms = self.host.now_ms() + self.settings.poll;
        let (changed, next, since) = match result {
            Ok(Answer::Changes { changed, next, since }) => (changed, next, since),
            Err(ProviderError::TokenExpired) => {
                // Everything is looked at again; what is known is not read.
                poll.since = Some(String::new());
                poll.page = None;
                self.save(&Scope::Plugin, POLL, &poll)?;
                return self.host.timer("poll", self.host.now_ms());
            }
            other => {
                poll.failures += 1;
                poll.page = None;
                self.host.log(&format!("poll failed: {other:?}").chars().take(300).collect::<String>());
                self.save(&Scope::Plugin, POLL, &poll)?;
                return self.host.timer("poll", next_ms);
            }
        };
        poll.failures = 0;
        let newest = changed.iter().filter_map(|changed| changed.record.as_ref()?.updated_at_ms).max();
        poll.newest_ms = newest.unwrap_or_default().max(poll.newest_ms);
        self.look_at(changed, "poll")?;
        match (next, self.provider.abilities().cursor) {
            (Some(page), _) => {
                poll.page = Some(page);
                let since = poll.since.clone().unwrap_or_default();
                self.ask_changes(poll, since)
            }
            (None, cursor) => {
                poll.page = None;
                if cursor == Cursor::Time {
                    let before: i64 = poll.since.as_deref().and_then(|since| since.parse().ok()).unwrap_or_default();
                    poll.since = Some(before.max(poll.newest_ms - OVERLAP_MS).to_string());
                } else if since.is_some() {
                    poll.since = since;
                }
                self.save(&Scope::Plugin, POLL, &poll)?;
                self.host.timer("poll", next_ms)
            }
        }
    }

    /// The host could not carry out a poll.
    pub fn poll_not_carried_out(&mut self, context: &Context) -> HostResult {
        self.polled(context, Err(ProviderError::Later(None)))
    }

    /// Looks at contacts now, or step by step if there are many.
    pub fn look_at(&mut self, changed: Vec<Changed>, list: &str) -> HostResult {
        if changed.len() <= PER_STEP || changed.iter().any(|changed| changed.record.is_some()) {
            return self.look_at_step(changed, list);
        }
        let first = self.take_numbers(changed.len().div_ceil(PER_CHUNK))?;
        for (number, chunk) in (first..).zip(changed.chunks(PER_CHUNK)) {
            self.save(&Scope::Plugin, &format!("{TODO}{list}/{number:012}"), &chunk)?;
        }
        self.host.timer(&format!("todo/{list}"), self.host.now_ms())
    }

    /// Looks at some of the contacts that are still to be looked at.
    pub fn look_at_more(&mut self, list: &str) -> HostResult {
        let Some((key, bytes)) = self.host.scan(&Scope::Plugin, &format!("{TODO}{list}/"), None, 1)?.into_iter().next()
        else {
            return Ok(());
        };
        let mut changed: Vec<Changed> = serde_json::from_slice(&bytes).unwrap_or_default();
        let later = changed.split_off(changed.len().min(PER_STEP));
        if later.is_empty() {
            self.host.delete(&Scope::Plugin, &key)?;
        } else {
            self.save(&Scope::Plugin, &key, &later)?;
        }
        self.look_at_step(changed, list)?;
        self.host.timer(&format!("todo/{list}"), self.host.now_ms() + 1000)
    }

    fn look_at_step(&mut self, changed: Vec<Changed>, list: &str) -> HostResult {
        let mut unknown = Vec::new();
        for changed in changed {
            let Changed { id, revision, is_deleted, record } = changed;
            if let Some(contact) = self.owner(&id)? {
                let link = self.link(&contact)?;
                let is_seen = !is_deleted
                    && match (&record, &revision) {
                        (Some(record), _) => self.is_known(&link, &record.fields, &record.phones),
                        (None, Some(revision)) => link.revision == hash_text(revision),
                        (None, None) => false,
                    };
                if is_seen {
                    continue;
                }
                // Whether it was deleted shows when it is read: it may have been restored.
                self.crm_changed(&contact, if list == "backfill" { Lane::Backfill } else { Lane::Live })?;
            } else if !is_deleted {
                match record {
                    Some(record) => self.discover(&record)?,
                    None => unknown.push(id),
                }
            }
        }
        if unknown.is_empty() { Ok(()) } else { self.look_up(unknown, list) }
    }

    /// Reads contacts that are not linked.
    pub fn look_up(&mut self, ids: Vec<String>, list: &str) -> HostResult {
        let (purpose, lane) =
            if list == "backfill" { (Purpose::BackfillLook, Lane::Backfill) } else { (Purpose::Look, Lane::Live) };
        let key = format!("look/{list}/{}", self.take_numbers(1)?);
        let operation = Operation::GetMany { ids };
        let Ok(http) = self.provider.request(&operation) else { return Ok(()) };
        let context =
            Context { purpose, contact: String::new(), sequence: 0, operation, step: 0, bases: Vec::new(), lane };
        self.send(key, format!("look/{list}"), lane, http, &context)
    }

    /// Contacts that were read because a poll or hook named them.
    pub fn looked(&mut self, context: &Context, outcome: Result<Answer, ProviderError>) -> HostResult {
        match outcome {
            Ok(Answer::Records { records, .. }) => {
                for record in records {
                    self.discover(&record)?;
                }
                Ok(())
            }
            Err(ProviderError::Missing) => Ok(()),
            _ => self.look_again(context, "poll"),
        }
    }

    /// Contacts that could not be read are looked at again.
    fn look_again(&mut self, context: &Context, list: &str) -> HostResult {
        let Operation::GetMany { ids } = &context.operation else { return Ok(()) };
        let changed: Vec<Changed> = ids.iter().map(|id| Changed { id: id.clone(), ..Changed::default() }).collect();
        let number = self.take_numbers(1)?;
        self.save(&Scope::Plugin, &format!("{TODO}{list}/{number:012}"), &changed)?;
        self.host.timer(&format!("todo/{list}"), self.host.now_ms() + 60_000)
    }

    /// The host could not read contacts.
    pub fn look_not_carried_out(&mut self, context: &Context) -> HostResult {
        let list = if context.purpose == Purpose::BackfillLook { "backfill" } else { "poll" };
        self.look_again(context, list)
    }

    /// The members that a contact could be.
    pub fn candidates(&self, record: &Record) -> HostResult<Vec<String>> {
        if self.is_erased(&record.id)? {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        if let Some(id) = &record.member_id {
            found.extend(self.host.member(id)?.map(|member| member.id));
        }
        for user_id in &record.user_ids {
            found.extend(self.host.find_user_id(user_id)?);
        }
        let country = self.settings.country_code.as_deref();
        for digits in record.phones.iter().filter_map(|number| phone::digits(number, country)) {
            for spelling in phone::spellings(&digits) {
                found.extend(self.host.find_phone(&spelling)?);
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// A contact that is not linked. The members that it could be are looked at, and search the CRM:
    /// there is one way to become linked.
    pub fn discover(&mut self, record: &Record) -> HostResult {
        if let Some(contact) = self.owner(&record.id)? {
            // Linked meanwhile.
            return self.crm_changed(&contact, Lane::Live);
        }
        // Created for someone who was erased before the response came.
        let of_erased = match &record.member_id {
            Some(id) => self.host.member(id)?.is_none() && self.is_erased(id)?,
            None => false,
        };
        if of_erased {
            self.set_erased(&record.id)?;
            let is_deleted = self.settings.on_erase == OnErase::Delete;
            return if is_deleted { self.delete_contact(&record.id) } else { Ok(()) };
        }
        for contact in self.candidates(record)? {
            let mut link = self.link(&contact)?;
            match link.status {
                Status::Linked => {
                    let at_ms = self.host.now_ms();
                    self.enqueue(Entry {
                        contact,
                        kind: EntryKind::Duplicate,
                        field: String::new(),
                        member: None,
                        crm: None,
                        ids: vec![record.id.clone()],
                        reason: "another contact could be the same person".to_owned(),
                        at_ms,
                    })?;
                }
                Status::Unlinked | Status::Candidate => {
                    link.is_member_changed = true;
                    self.save_link(&contact, &link)?;
                    self.wake(&contact, 0, Lane::Live)?;
                }
                Status::CrmDeleted | Status::Conflict | Status::Failed => {}
            }
        }
        Ok(())
    }

    /// A call of the CRM's hook.
    pub fn hooked(&mut self, hints: Vec<Hint>) -> HostResult {
        let mut unknown = Vec::new();
        for hint in hints {
            let Some(contact) = self.owner(&hint.id)? else {
                match hint.record {
                    Some(record) if !hint.is_deleted => {
                        for contact in self.candidates(&record)? {
                            self.received(&contact, &record)?;
                        }
                    }
                    _ if hint.is_deleted || hint.is_own || hint.merged_into.is_some() => {}
                    _ => unknown.push(Changed { id: hint.id, ..Changed::default() }),
                }
                continue;
            };
            let link = self.link(&contact)?;
            if let Some(record) = hint.record.filter(|_| !hint.is_deleted) {
                self.received(&contact, &record)?;
            } else if let Some(into) = hint.merged_into {
                self.merged_in_crm(&contact, &hint.id, &into)?;
            } else if hint.is_deleted || !(hint.is_own || self.is_known(&link, &hint.fields, &[])) {
                self.crm_changed(&contact, Lane::Live)?;
            }
        }
        unknown.sort_by(|one, other| one.id.cmp(&other.id));
        unknown.dedup();
        if unknown.is_empty() || !self.provider.abilities().can_read { Ok(()) } else { self.look_at(unknown, "poll") }
    }

    /// The CRM merged a linked contact into another one.
    fn merged_in_crm(&mut self, contact: &str, id: &str, into: &str) -> HostResult {
        if id == into {
            return self.crm_changed(contact, Lane::Live);
        }
        let Some(member) = self.host.member(contact)? else { return Ok(()) };
        let mut link = self.link(contact)?;
        self.remove_owner(id)?;
        link.crm_id = None;
        self.link_to(&member, link, into, Lane::Live)
    }
}

/// An outcome as a provider's answer; `None` if the host could not carry out the request.
pub fn answer(
    provider: &dyn crate::port::Provider,
    operation: &Operation,
    outcome: &Outcome,
) -> Option<Result<Answer, ProviderError>> {
    outcome.as_ref().ok().map(|response| provider.read(operation, response))
}
