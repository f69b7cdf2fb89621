//! The sync as its host sees it: what happened goes in, effects go out through [`Host`].
//!
//! It keeps nothing between two calls. Everything is in the host's state, so it can stop and
//! continue anywhere.

use crate::host::{Host, HostError, HostResult, Lane, Outcome};
use crate::http::HttpResponse;
use crate::link::{Link, Status};
use crate::member::Member;
use crate::poll;
use crate::port::{Answer, Limits, Provider};
use crate::provider;
use crate::schema::{self, Problem};
use crate::session::{Context, Entry, EntryKind, Purpose, Session, map_key};
use crate::settings::{Create, Settings, SettingsError};
use crate::time;
use crate::value::hash;
use serde::Serialize;

/// The sync.
pub struct Engine {
    settings: Settings,
    provider: Box<dyn Provider>,
}

/// Which side's value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The member's.
    Member,
    /// The contact's.
    Crm,
}

/// What an operator sees of a link.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkView {
    /// The member.
    pub contact: String,
    /// The state.
    pub status: &'static str,
    /// The contact in the CRM.
    pub crm_id: Option<String>,
    /// Whether a request has no answer yet.
    pub is_pending: bool,
    /// Failed tries in a row.
    pub tries: u8,
}

/// What an operator sees of the sync.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusView {
    /// From where the next poll asks.
    pub watermark: Option<String>,
    /// Polls that failed in a row.
    pub poll_failures: u32,
    /// The backfill.
    pub backfill: crate::backfill::Backfill,
    /// What the schema check found.
    pub schema: Vec<Problem>,
    /// Contacts with entries for the operator, at most 1,000.
    pub queued: usize,
}

impl Engine {
    /// From the settings, as JSON.
    pub fn new(settings: &str) -> Result<Self, Vec<SettingsError>> {
        let settings = Settings::read(settings)?;
        let provider = provider::of(&settings);
        Ok(Self { settings, provider })
    }

    /// The lowest limit of the CRM's accounts, for the operator's egress rule.
    pub fn limits(&self) -> Limits {
        self.provider.limits()
    }

    fn session<'a>(&'a self, host: &'a mut dyn Host) -> Session<'a> {
        Session { settings: &self.settings, provider: self.provider.as_ref(), host }
    }

    /// The plugin was loaded, or its settings changed. `random` are bytes for the hashes of erased
    /// people; only the first ones are kept.
    pub fn start(&self, host: &mut dyn Host, random: &[u8]) -> HostResult {
        let mut session = self.session(host);
        session.set_erased_key(random)?;
        if self.provider.abilities().can_read {
            schema::ask(&mut session)?;
            let now_ms = session.host.now_ms();
            session.host.timer("poll", now_ms)?;
        }
        Ok(())
    }

    /// A member was created or changed; also after a change of consent.
    pub fn member_changed(&self, host: &mut dyn Host, contact: &str) -> HostResult {
        let mut session = self.session(host);
        let Some(member) = session.host.member(contact)? else { return Ok(()) };
        let link = session.link(&member.id)?;
        // A change of someone without a contact leads to a search only if they may now get one.
        let is_new = !session.has_link(&member.id)?;
        let matters = is_new
            || link.status == Status::Linked
            || link.pending != 0
            || (self.settings.create == Create::OnConsent && session.may_create(&member, &link));
        if matters { session.member_changed(&member.id, false) } else { Ok(()) }
    }

    /// A member joined.
    pub fn member_joined(&self, host: &mut dyn Host, contact: &str) -> HostResult {
        self.session(host).member_changed(contact, false)
    }

    /// A member wrote.
    pub fn member_wrote(&self, host: &mut dyn Host, contact: &str) -> HostResult {
        let mut session = self.session(host);
        let link = session.link(contact)?;
        // The time of the last message may be in the map.
        let is_mapped = self
            .settings
            .map
            .iter()
            .any(|entry| matches!(entry.wa.as_str(), "member.last_inbound_at" | "member.window_open_until"));
        if link.status == Status::Linked {
            return if is_mapped { session.member_changed(contact, false) } else { Ok(()) };
        }
        let is_wanted = self.settings.create == Create::OnMessage && link.status == Status::Unlinked;
        if is_wanted && !link.may_create { session.member_changed(contact, true) } else { Ok(()) }
    }

    /// Two members became one.
    pub fn member_merged(&self, host: &mut dyn Host, kept: &str, removed: &str) -> HostResult {
        self.session(host).merged(kept, removed)
    }

    /// A person is erased: `ids` are all that they had. Before the host deletes their state.
    pub fn member_erased(&self, host: &mut dyn Host, ids: &[String], member: Option<&Member>) -> HostResult {
        self.session(host).erase(ids, member)
    }

    /// Adds a line to the note on a person's timeline.
    pub fn add_note(&self, host: &mut dyn Host, contact: &str, line: &str) -> HostResult {
        self.session(host).add_line(contact, line)
    }

    /// A call of the hook, whose signature the host has checked. The inner error is about the call.
    pub fn hook(&self, host: &mut dyn Host, call: &HttpResponse) -> HostResult<Result<(), String>> {
        match self.provider.hook(call) {
            Ok(hints) => self.session(host).hooked(hints).map(Ok),
            Err(error) => {
                // The next poll finds what it was about.
                host.log(&format!("a hook cannot be read: {error:?}").chars().take(300).collect::<String>());
                Ok(Err(format!("{error:?}")))
            }
        }
    }

    /// A timer of the plugin is due.
    pub fn timer(&self, host: &mut dyn Host, key: &str) -> HostResult {
        let mut session = self.session(host);
        match key.split_once('/') {
            Some(("sync", contact)) => session.sync(contact, Lane::Live),
            Some(("fill", contact)) => session.sync(contact, Lane::Backfill),
            Some(("note", contact)) => session.write_note(contact),
            Some(("todo", list)) => session.look_at_more(list),
            _ if key == "forget" => session.delete_again(),
            _ if key == "poll" => session.poll(),
            _ if key == "backfill" => session.backfill_step(),
            _ => Ok(()),
        }
    }

    /// A request has an outcome. `context` is what it was sent with.
    pub fn response(&self, host: &mut dyn Host, context: &[u8], outcome: &Outcome) -> HostResult {
        let context: Context = serde_json::from_slice(context).map_err(|error| HostError(error.to_string()))?;
        let skew_ms = match outcome {
            Ok(response) => skew_ms(host.now_ms(), response),
            Err(_) => 0,
        };
        let mut session = self.session(host);
        let answer = poll::answer(self.provider.as_ref(), &context.operation, outcome);
        match (context.purpose, answer, outcome) {
            (Purpose::Person, Some(answer), _) => session.answered(&context, answer, skew_ms),
            (Purpose::Person, None, Err(failure)) => session.not_carried_out(&context, failure),
            (Purpose::Poll, Some(answer), _) => session.polled(&context, answer),
            (Purpose::Poll, None, _) => session.poll_not_carried_out(&context),
            (Purpose::Look, Some(answer), _) => session.looked(&context, answer),
            (Purpose::Look, None, _) => session.look_not_carried_out(&context),
            (Purpose::BackfillLook, Some(answer), _) => session.backfill_looked(&context, answer),
            (Purpose::BackfillLook, None, _) => {
                session.backfill_looked(&context, Err(crate::port::ProviderError::Later(None)))
            }
            (Purpose::Backfill, Some(answer), _) => session.backfilled(&context, answer),
            (Purpose::Backfill, None, _) => session.backfill_not_carried_out(&context),
            (Purpose::Schema, Some(Ok(Answer::Schema(fields))), _) => schema::check(&mut session, fields.as_deref()),
            (Purpose::Schema, Some(Err(error)), _) => {
                session.host.log(&format!("schema check: {error:?}").chars().take(300).collect::<String>());
                Ok(())
            }
            // A note is written at most once a day, even if it is lost.
            (Purpose::Note | Purpose::Schema, ..) => Ok(()),
            (Purpose::Erase, answer, _) => session.deleted(&context, matches!(answer, Some(Ok(_)))),
            (Purpose::Person, None, Ok(_)) => Ok(()),
        }
    }

    /// What an operator sees.
    pub fn status(&self, host: &mut dyn Host) -> HostResult<StatusView> {
        let session = self.session(host);
        let poll = session.poll_state()?;
        Ok(StatusView {
            watermark: poll.since,
            poll_failures: poll.failures,
            backfill: session.backfill_state()?,
            schema: schema::problems(&session)?,
            queued: session.queued(None, 1000)?.len(),
        })
    }

    /// The link of a person.
    pub fn link(&self, host: &mut dyn Host, contact: &str) -> HostResult<LinkView> {
        let Link { status, crm_id, pending, tries, .. } = self.session(host).link(contact)?;
        Ok(LinkView { contact: contact.to_owned(), status: status.name(), crm_id, is_pending: pending != 0, tries })
    }

    /// Conflicts, refused values and dead letters of up to `limit` people, after one.
    pub fn queue(&self, host: &mut dyn Host, after: Option<&str>, limit: usize) -> HostResult<Vec<Entry>> {
        let session = self.session(host);
        let mut entries = Vec::new();
        for contact in session.queued(after, limit)? {
            entries.extend(session.entries_of(&contact)?);
        }
        Ok(entries)
    }

    /// Decides a conflict of a field. The inner error is for the operator.
    pub fn resolve(
        &self,
        host: &mut dyn Host,
        contact: &str,
        field: &str,
        keep: Side,
    ) -> HostResult<Result<(), String>> {
        let mut session = self.session(host);
        let entries = session.entries_of(contact)?;
        let is_it = |entry: &&Entry| entry.kind == EntryKind::Field && entry.field == field;
        let Some(conflict) = entries.iter().find(is_it) else {
            return Ok(Err(format!("{contact} has no conflict about `{field}`")));
        };
        let Some(entry) = self.settings.map.iter().find(|entry| entry.crm == field) else {
            return Ok(Err(format!("`{field}` is no longer in the map")));
        };
        // As if the side that loses had not changed: if it changes again, that is a new conflict.
        let mut link = session.link(contact)?;
        let mut base = link.base(map_key(entry)).cloned().unwrap_or_default();
        base.key = map_key(entry);
        match keep {
            Side::Member => {
                base.crm = hash(conflict.crm.as_ref());
                // Both sides unchanged would keep both.
                base.member = if hash(conflict.member.as_ref()) == base.member { !base.member } else { base.member };
            }
            Side::Crm => {
                base.member = hash(conflict.member.as_ref());
                base.crm = if hash(conflict.crm.as_ref()) == base.crm { !base.crm } else { base.crm };
            }
        }
        link.set_base(base);
        link.is_crm_changed = true;
        session.save_link(contact, &link)?;
        session.dequeue(contact, field)?;
        session.sync(contact, Lane::Live).map(Ok)
    }

    /// Links a person to a contact, or lets them be searched again: after a conflict, a deletion or
    /// a dead letter.
    pub fn relink(&self, host: &mut dyn Host, contact: &str, crm_id: Option<&str>) -> HostResult<Result<(), String>> {
        self.session(host).relink(contact, crm_id)
    }

    /// Tries a dead letter again.
    pub fn retry(&self, host: &mut dyn Host, contact: &str) -> HostResult<Result<(), String>> {
        let mut session = self.session(host);
        let mut link = session.link(contact)?;
        if link.status != Status::Failed {
            return Ok(Err(format!("{contact} is {}", link.status.name())));
        }
        link.status = if link.crm_id.is_some() { Status::Linked } else { Status::Unlinked };
        link.tries = 0;
        link.is_member_changed = true;
        link.is_crm_changed = true;
        session.save_link(contact, &link)?;
        session.dequeue(contact, EntryKind::DeadLetter.name())?;
        session.sync(contact, Lane::Live).map(Ok)
    }

    /// Starts a backfill. The inner error is for the operator.
    pub fn start_backfill(&self, host: &mut dyn Host, is_dry_run: bool) -> HostResult<Result<(), String>> {
        self.session(host).start_backfill(is_dry_run)
    }

    /// Stops the backfill.
    pub fn stop_backfill(&self, host: &mut dyn Host) -> HostResult {
        self.session(host).stop_backfill()
    }

    /// Continues the backfill.
    pub fn resume_backfill(&self, host: &mut dyn Host) -> HostResult {
        self.session(host).resume_backfill()
    }
}

/// How far the CRM's clock is ahead of ours; differences of transport do not count.
fn skew_ms(now_ms: i64, response: &HttpResponse) -> i64 {
    let theirs = response.header("date").and_then(time::parse_http_ms);
    theirs.map(|at_ms| at_ms - now_ms).filter(|skew_ms| skew_ms.abs() > 2_000).unwrap_or_default()
}
