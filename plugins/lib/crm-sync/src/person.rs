//! The synchronisation of one person: search, link, read, merge, write.
//!
//! A person has at most one request without an answer; what changes meanwhile is noted and looked
//! at afterwards. A contact is always read right before it is written, so polls and hooks need not
//! be complete, in order, or true: they only say whom to look at.

use crate::host::{HostResult, Lane, RequestFailure};
use crate::link::{Base, Link, MAX_TRIES, PendingBase, Sent, Status};
use crate::member::{Change, Consent, Member, joined_names};
use crate::merge::{Decision, Sides, base_of, merge, merge_consent};
use crate::phone;
use crate::port::{Answer, Fields, FindBy, Operation, ProviderError, Record};
use crate::schema;
use crate::session::{Context, Entry, EntryKind, Session, map_key};
use crate::settings::{Create, Direction, MapEntry, Transform};
use crate::transform::{comparable, from_crm, to_crm};
use crate::value::{Value, hash, hash_text};

/// How long changes of a member are collected.
pub const COALESCE_MS: i64 = 5_000;
/// The first interval after a failure.
const RETRY_MS: i64 = 30_000;
/// The longest.
const MAX_RETRY_MS: i64 = 3_600_000;
/// The interval while the credentials are wrong: the operator repairs them.
const CREDENTIALS_RETRY_MS: i64 = 300_000;

/// What a merge results in.
#[derive(Debug, Default)]
struct Merged {
    changes: Vec<Change>,
    fields: Fields,
    bases: Vec<PendingBase>,
}

impl Session<'_> {
    /// The timer of a person.
    pub fn wake(&mut self, contact: &str, after_ms: i64, lane: Lane) -> HostResult {
        let name = if lane == Lane::Backfill { "fill" } else { "sync" };
        let at_ms = self.host.now_ms().saturating_add(after_ms);
        self.host.timer(&format!("{name}/{contact}"), at_ms)
    }

    /// Notes that a member changed.
    pub fn member_changed(&mut self, contact: &str, may_create: bool) -> HostResult {
        let Some(member) = self.host.member(contact)? else { return Ok(()) };
        let mut link = self.link(&member.id)?;
        if matches!(link.status, Status::CrmDeleted | Status::Failed | Status::Conflict) && !may_create {
            return Ok(());
        }
        link.is_member_changed = true;
        link.may_create |= may_create;
        link.changed_ms = self.host.now_ms();
        self.save_link(&member.id, &link)?;
        self.wake(&member.id, COALESCE_MS, Lane::Live)
    }

    /// Notes that a linked contact may have changed.
    pub fn crm_changed(&mut self, contact: &str, lane: Lane) -> HostResult {
        let mut link = self.link(contact)?;
        if link.status != Status::Linked {
            return Ok(());
        }
        link.is_crm_changed = true;
        self.save_link(contact, &link)?;
        self.wake(contact, 0, lane)
    }

    /// Does what a person needs next.
    pub fn sync(&mut self, contact: &str, lane: Lane) -> HostResult {
        let Some(member) = self.host.member(contact)? else { return Ok(()) };
        let link = self.link(&member.id)?;
        if link.pending != 0 {
            return Ok(());
        }
        match link.status {
            Status::CrmDeleted | Status::Failed | Status::Conflict => Ok(()),
            Status::Unlinked | Status::Candidate => self.find(&member, link, 0, lane),
            Status::Linked => self.refresh(&member, link, lane),
        }
    }

    /// Reads the linked contact, if there is a reason.
    fn refresh(&mut self, member: &Member, mut link: Link, lane: Lane) -> HostResult {
        let Some(id) = link.crm_id.clone() else {
            link.status = Status::Unlinked;
            return self.save_link(&member.id, &link);
        };
        if !self.provider.abilities().can_read {
            return self.push(member, link, lane);
        }
        if !link.is_crm_changed && !self.differs(member, &link)? {
            if link.is_member_changed {
                link.is_member_changed = false;
                self.save_link(&member.id, &link)?;
            }
            return Ok(());
        }
        self.ask(&member.id, &mut link, &Operation::Get { id }, 0, Vec::new(), lane)
    }

    /// Sends a request, or gives the person up if there is no such request.
    fn ask(
        &mut self,
        contact: &str,
        link: &mut Link,
        operation: &Operation,
        step: usize,
        bases: Vec<PendingBase>,
        lane: Lane,
    ) -> HostResult {
        let mut operation = operation.clone();
        if let (Some(name), Operation::Create { fields, .. } | Operation::Update { fields, .. }) =
            (self.provider.write_mark(), &mut operation)
        {
            let sequence = link.sequence.wrapping_add(1).max(1);
            fields.insert(name, Value::text(sequence.to_string()));
        }
        match self.send_for(contact, link, &operation, step, bases, lane)? {
            Ok(()) => Ok(()),
            Err(error) => self.give_up(contact, link, &format!("no request is possible: {error:?}")),
        }
    }

    /// Whether a member differs from what was last synchronised.
    fn differs(&self, member: &Member, link: &Link) -> HostResult<bool> {
        let disabled = schema::disabled(self)?;
        let is_other = |entry: &&MapEntry| {
            let value = self.member_value(entry, member);
            match link.base(map_key(entry)) {
                Some(base) => base.member != hash(value.as_ref()) && entry.dir != Direction::FromCrm,
                None => true,
            }
        };
        Ok(self.entries(&disabled).any(|entry| is_other(&entry)))
    }

    /// The entries of the map that the schema check allows.
    fn entries<'s>(&'s self, disabled: &'s [String]) -> impl Iterator<Item = &'s MapEntry> {
        self.settings.map.iter().filter(move |entry| !disabled.contains(&entry.crm))
    }

    /// The member's value in the form in which it is compared.
    fn member_value(&self, entry: &MapEntry, member: &Member) -> Option<Value> {
        comparable(entry, to_crm(entry, member.field(&entry.wa)), self.settings.country_code.as_deref())
    }

    /// What is searched for, in order.
    fn searches(&self, member: &Member) -> Vec<(FindBy, Vec<String>)> {
        let per_search = self.provider.abilities().find_values.max(1);
        let mut searches = Vec::new();
        for by in &self.settings.match_by {
            let by = FindBy::from(*by);
            if self.provider.search_field(by).is_none() {
                continue;
            }
            let values: Vec<String> = match by {
                FindBy::MemberId => vec![member.id.clone()],
                FindBy::UserId => member.user_ids.clone(),
                FindBy::Phone => member.phones.iter().flat_map(|digits| phone::spellings(digits)).collect(),
                FindBy::Email => self.email(member).into_iter().collect(),
            };
            searches.extend(values.chunks(per_search).map(|chunk| (by, chunk.to_vec())));
        }
        searches
    }

    fn email(&self, member: &Member) -> Option<String> {
        let attribute = self.settings.email_attribute.as_ref()?;
        Some(member.attributes.get(attribute)?.to_string().trim().to_lowercase())
    }

    /// Starts, or continues, the search for a member's contact.
    fn find(&mut self, member: &Member, mut link: Link, step: usize, lane: Lane) -> HostResult {
        if !self.provider.abilities().can_read {
            return self.create(member, link, lane);
        }
        match self.searches(member).into_iter().nth(step) {
            Some((by, values)) => {
                link.status = Status::Candidate;
                self.ask(&member.id, &mut link, &Operation::Find { by, values }, step, Vec::new(), lane)
            }
            None => self.create(member, link, lane),
        }
    }

    /// Whether a contact that was found is the member's.
    fn is_match(&self, member: &Member, record: &Record) -> HostResult<bool> {
        if self.is_erased(&record.id)? {
            return Ok(false);
        }
        if let Some(id) = &record.member_id {
            // The id may be that of a contact that was merged into this one, or of nobody any more.
            if let Some(other) = self.host.member(id)? {
                return Ok(other.id == member.id);
            }
        }
        let country = self.settings.country_code.as_deref();
        let numbers: Vec<String> = member.phones.iter().map(|digits| phone::canonical(digits)).collect();
        let has_number = record
            .phones
            .iter()
            .filter_map(|number| phone::digits(number, country))
            .any(|digits| numbers.contains(&phone::canonical(&digits)));
        let email = self.email(member);
        let has_email = record.emails.iter().any(|address| Some(address.trim().to_lowercase()) == email);
        let has_user_id = record.user_ids.iter().any(|id| member.user_ids.contains(id));
        Ok(has_number || has_email || has_user_id)
    }

    /// The contacts of one search.
    fn found(&mut self, member: &Member, mut link: Link, context: &Context, records: Vec<Record>) -> HostResult {
        let mut matching: Vec<Record> = Vec::new();
        for record in records {
            if self.is_match(member, &record)? {
                matching.push(record);
            }
        }
        // The one that names the member, if only one does.
        let named: Vec<&Record> = matching.iter().filter(|record| record.member_id.is_some()).collect();
        if let ([one], true) = (named.as_slice(), matching.len() > 1) {
            matching = vec![(*one).clone()];
        }
        match matching.as_slice() {
            [] => self.find(member, link, context.step + 1, context.lane),
            [record] => self.link_to(member, link, &record.id, context.lane),
            several => {
                link.status = Status::Conflict;
                let ids = several.iter().map(|record| record.id.clone()).collect();
                self.save_link(&member.id, &link)?;
                self.note(&member.id, EntryKind::Several, ids, "several contacts have the person's number")
            }
        }
    }

    /// Adds an entry about contacts.
    fn note(&mut self, contact: &str, kind: EntryKind, ids: Vec<String>, reason: &str) -> HostResult {
        let at_ms = self.host.now_ms();
        let entry = Entry {
            contact: contact.to_owned(),
            kind,
            field: String::new(),
            member: None,
            crm: None,
            ids,
            reason: reason.to_owned(),
            at_ms,
        };
        self.enqueue(entry)
    }

    /// Links a member to a contact, and reads it.
    pub fn link_to(&mut self, member: &Member, mut link: Link, crm_id: &str, lane: Lane) -> HostResult {
        if let Some(owner) = self.owner(crm_id)?.filter(|owner| *owner != member.id) {
            link.status = Status::Conflict;
            self.save_link(&member.id, &link)?;
            let reason = format!("the contact is linked to {owner}");
            return self.note(&member.id, EntryKind::Taken, vec![crm_id.to_owned()], &reason);
        }
        link.status = Status::Linked;
        link.crm_id = Some(crm_id.to_owned());
        link.is_crm_changed = true;
        link.may_be_created = false;
        self.set_owner(crm_id, &member.id)?;
        for kind in [EntryKind::Several, EntryKind::Taken] {
            self.dequeue(&member.id, kind.name())?;
        }
        self.save_link(&member.id, &link)?;
        self.sync(&member.id, lane)
    }

    /// Whether the settings let this member get a contact.
    pub fn may_create(&self, member: &Member, link: &Link) -> bool {
        let has_consent = member.consents.iter().any(|(purpose, consent)| {
            purpose.starts_with("marketing") && *consent == Consent::Granted && !member.opted_out
        });
        match self.settings.create {
            Create::Never => false,
            Create::OnJoin => member.is_member,
            Create::OnConsent => has_consent,
            Create::OnMessage => link.may_create || member.last_inbound_at_ms.is_some(),
        }
    }

    /// Creates a contact for a member who has none.
    fn create(&mut self, member: &Member, mut link: Link, lane: Lane) -> HostResult {
        if !self.may_create(member, &link) {
            link.status = Status::Unlinked;
            link.is_member_changed = false;
            return self.save_link(&member.id, &link);
        }
        let disabled = schema::disabled(self)?;
        let (mut fields, mut bases) = (Fields::new(), Vec::new());
        for entry in self.entries(&disabled).filter(|entry| entry.dir != Direction::FromCrm) {
            let value = self.member_value(entry, member);
            let key = map_key(entry);
            // The CRM has refused this value before.
            if link.base(key).is_some_and(|base| base.member == hash(value.as_ref())) {
                continue;
            }
            if value.is_some() {
                fields.insert(entry.crm.clone(), to_crm(entry, member.field(&entry.wa)));
            }
            bases.push(pending(&base_of(key, value.as_ref(), value.as_ref(), entry.dir), 0));
        }
        // By these the contact is found again.
        let phone = member.phones.first().and_then(|digits| Value::text(format!("+{digits}")));
        let user_id = member.user_ids.first().and_then(Value::text);
        for (by, value) in [(FindBy::Phone, phone), (FindBy::UserId, user_id)] {
            if let (Some(name), Some(value)) = (self.provider.search_field(by), value) {
                fields.entry(name).or_insert(Some(value));
            }
        }
        link.is_member_changed = false;
        link.status = Status::Candidate;
        let operation = Operation::Create { member_id: member.id.clone(), fields };
        self.ask(&member.id, &mut link, &operation, 0, bases, lane)
    }

    /// The answer to a request of a person.
    pub fn answered(&mut self, context: &Context, result: Result<Answer, ProviderError>, skew_ms: i64) -> HostResult {
        let Some(member) = self.host.member(&context.contact)? else {
            return self.answered_after_erasure(context, result);
        };
        let mut link = self.link(&member.id)?;
        // The link of a merged contact that had one of its own has other numbers.
        if link.pending != context.sequence || member.id != context.contact {
            return self.answered_late(&member, link, context, result);
        }
        link.pending = 0;
        match (&context.operation, result) {
            (Operation::Find { .. }, Ok(Answer::Records { records, .. })) => {
                link.tries = 0;
                self.found(&member, link, context, records)
            }
            (Operation::Get { id }, Ok(Answer::Record(record))) => {
                self.read(&member, link, id, *record, context.lane, skew_ms)
            }
            (Operation::Create { .. }, Ok(Answer::Written(record))) => self.created(&member, link, context, &record),
            (Operation::Update { .. }, Ok(Answer::Written(record))) => {
                self.written(&mut link, context, &record);
                self.finish(&member.id, link, context.lane)
            }
            (_, Ok(answer)) => {
                self.fail(&member.id, link, &format!("unexpected answer {answer:?}"), None, context.lane)
            }
            (_, Err(error)) => self.failed(&member, link, context, error),
        }
    }

    /// After a contact was created.
    fn created(&mut self, member: &Member, mut link: Link, context: &Context, record: &Record) -> HostResult {
        if let Some(owner) = self.owner(&record.id)?.filter(|owner| *owner != member.id) {
            link.status = Status::Conflict;
            self.save_link(&member.id, &link)?;
            let reason = format!("the contact is linked to {owner}");
            return self.note(&member.id, EntryKind::Taken, vec![record.id.clone()], &reason);
        }
        link.status = Status::Linked;
        link.crm_id = Some(record.id.clone());
        link.may_be_created = false;
        self.set_owner(&record.id, &member.id)?;
        self.written(&mut link, context, record);
        // It may have been there before, and the CRM may have added to it.
        link.is_crm_changed = self.provider.abilities().can_read;
        self.finish(&member.id, link, context.lane)
    }

    /// The fields of a write become the base.
    fn written(&mut self, link: &mut Link, context: &Context, record: &Record) {
        link.tries = 0;
        link.sent = None;
        link.revision = record.revision.as_deref().map_or(0, hash_text);
        link.seen_ms = record.updated_at_ms.unwrap_or(link.seen_ms).max(link.seen_ms);
        for pending in &context.bases {
            let entry = self.settings.map.iter().find(|entry| map_key(entry) == pending.key);
            let returned = entry.and_then(|entry| {
                let value = record.fields.get(&entry.crm)?;
                let value = comparable(entry, value.clone(), self.settings.country_code.as_deref());
                Some(hash(value.as_ref()))
            });
            link.set_base(pending.written(returned));
        }
    }

    /// A contact that was read.
    fn read(
        &mut self,
        member: &Member,
        mut link: Link,
        asked: &str,
        record: Record,
        lane: Lane,
        skew_ms: i64,
    ) -> HostResult {
        if record.id != asked {
            // It was merged into another one.
            self.remove_owner(asked)?;
            link.crm_id = None;
            return self.link_to(member, link, &record.id, lane);
        }
        link.is_crm_changed = false;
        self.settle(&mut link, &record);
        let merged = self.merge(member, &mut link, &record, skew_ms)?;
        link.is_member_changed = false;
        let mut fields = merged.fields;
        if let Some(name) = self.provider.search_field(FindBy::MemberId)
            && record.member_id.as_deref() != Some(member.id.as_str())
        {
            fields.insert(name, Value::text(&member.id));
        }
        self.apply(member, &mut link, merged.changes)?;
        link.revision = record.revision.as_deref().map_or(0, hash_text);
        link.seen_ms = record.updated_at_ms.unwrap_or(link.seen_ms).max(link.seen_ms);
        if fields.is_empty() {
            link.tries = 0;
            return self.finish(&member.id, link, lane);
        }
        let operation = Operation::Update { id: record.id, revision: record.revision, fields, raw: record.raw };
        self.ask(&member.id, &mut link, &operation, 0, merged.bases, lane)
    }

    /// Decides whether a write with an unknown outcome was carried out: by the mark that it would
    /// have left, else by whether the contact has one of its values. What is our own must not look
    /// like a change of the CRM.
    fn settle(&self, link: &mut Link, record: &Record) {
        let Some(sent) = link.sent.take() else { return };
        let mark = self.provider.write_mark().and_then(|name| record.fields.get(&name).cloned());
        let country = self.settings.country_code.as_deref();
        let is_there = |pending: &PendingBase| {
            let entry = self.settings.map.iter().find(|entry| map_key(entry) == pending.key);
            let value = entry.and_then(|entry| comparable(entry, record.fields.get(&entry.crm)?.clone(), country));
            pending.crm != pending.before && hash(value.as_ref()) == pending.crm
        };
        let is_carried_out = match mark {
            Some(mark) => hash(mark.as_ref()) == hash_text(&sent.sequence.to_string()),
            None => sent.bases.iter().any(is_there),
        };
        if is_carried_out {
            for pending in &sent.bases {
                link.set_base(pending.written(None));
            }
        }
    }

    /// Merges every field that is known of the contact.
    fn merge(&mut self, member: &Member, link: &mut Link, record: &Record, skew_ms: i64) -> HostResult<Merged> {
        let disabled = schema::disabled(self)?;
        let entries: Vec<MapEntry> = self.entries(&disabled).cloned().collect();
        let mut merged = Merged::default();
        let mut current = member.clone();
        // Both times by the CRM's clock.
        let is_crm_newer = record.updated_at_ms.is_none_or(|at_ms| at_ms >= link.changed_ms.saturating_add(skew_ms));
        for entry in &entries {
            let Some(theirs) = record.fields.get(&entry.crm) else { continue };
            let key = map_key(entry);
            let ours = self.member_value(entry, member);
            let theirs = self.crm_value(entry, ours.as_ref(), theirs.clone(), record);
            let base = link.base(key).cloned();
            let sides = Sides { base: base.as_ref(), member: ours.as_ref(), crm: theirs.as_ref(), is_crm_newer };
            let decision = if entry.wa.starts_with("consent.") {
                let withdrawn = comparable(entry, to_crm(entry, Value::text("withdrawn")), None);
                merge_consent(sides, entry.dir, withdrawn.as_ref())
            } else {
                merge(sides, entry.dir, entry.on_conflict)
            };
            match decision {
                Decision::Keep => {
                    self.dequeue_resolved(&member.id, entry, base.as_ref(), &ours, &theirs)?;
                    link.set_base(base_of(key, ours.as_ref(), theirs.as_ref(), entry.dir));
                }
                Decision::Conflict => {
                    let at_ms = self.host.now_ms();
                    self.enqueue(Entry {
                        contact: member.id.clone(),
                        kind: EntryKind::Field,
                        field: entry.crm.clone(),
                        member: ours,
                        crm: theirs,
                        ids: Vec::new(),
                        reason: String::new(),
                        at_ms,
                    })?;
                }
                Decision::Write { member: to_member, crm: to_contact } => {
                    self.dequeue(&member.id, &entry.crm)?;
                    let mut after = ours.clone();
                    if let Some(value) = to_member {
                        let present = current.field(&entry.wa);
                        let change =
                            Change { field: entry.wa.clone(), value: from_crm(entry, value, present.as_ref()) };
                        current = current.with(std::slice::from_ref(&change));
                        merged.changes.retain(|earlier| earlier.field != change.field);
                        merged.changes.push(change);
                        after = self.member_value(entry, &current);
                    }
                    match to_contact {
                        Some(value) => {
                            let next = base_of(key, after.as_ref(), value.as_ref(), entry.dir);
                            merged.bases.push(pending(&next, hash(theirs.as_ref())));
                            if let Some(now) = base_of_halfway(base.as_ref(), key, after.as_ref(), theirs.as_ref()) {
                                link.set_base(now);
                            }
                            let is_ours = hash(value.as_ref()) == hash(ours.as_ref());
                            let written =
                                if is_ours { to_crm(entry, member.field(&entry.wa)) } else { joined(entry, value) };
                            merged.fields.insert(entry.crm.clone(), written);
                        }
                        None => link.set_base(base_of(key, after.as_ref(), theirs.as_ref(), entry.dir)),
                    }
                }
            }
        }
        Ok(merged)
    }

    /// The contact's value in the form in which it is compared. A number of the member that is
    /// anywhere in the contact is there.
    fn crm_value(
        &self,
        entry: &MapEntry,
        ours: Option<&Value>,
        theirs: Option<Value>,
        record: &Record,
    ) -> Option<Value> {
        let country = self.settings.country_code.as_deref();
        if entry.transform == Transform::Phone && ours.is_some() {
            let mut all = record.phones.iter().map(|number| comparable(entry, Value::text(number), country));
            if let Some(found) = all.find(|number| number.as_ref() == ours) {
                return found;
            }
        }
        comparable(entry, theirs, country)
    }

    /// An entry about a refused value stays until a side changes.
    fn dequeue_resolved(
        &mut self,
        contact: &str,
        entry: &MapEntry,
        base: Option<&Base>,
        ours: &Option<Value>,
        theirs: &Option<Value>,
    ) -> HostResult {
        let is_same = base.is_some_and(|base| base.member == hash(ours.as_ref()) && base.crm == hash(theirs.as_ref()));
        let is_refused = is_same && hash(ours.as_ref()) != hash(theirs.as_ref());
        if is_refused { Ok(()) } else { self.dequeue(contact, &entry.crm) }
    }

    /// Changes the member.
    fn apply(&mut self, member: &Member, link: &mut Link, changes: Vec<Change>) -> HostResult {
        if changes.is_empty() {
            return Ok(());
        }
        let changes = joined_names(member, changes);
        for (field, reason) in self.host.change(&member.id, &changes)? {
            let is_about =
                |entry: &&MapEntry| entry.wa == field || (field == "member.name" && entry.wa.ends_with("_name"));
            let entry = self.settings.map.iter().find(is_about).cloned().unwrap_or_default();
            // The member keeps the old value: that is no change of theirs.
            if let Some(base) = link.base(map_key(&entry)).cloned() {
                let member = hash(self.member_value(&entry, member).as_ref());
                link.set_base(Base { member, ..base });
            }
            let crm = changes.iter().find(|change| change.field == field).and_then(|change| change.value.clone());
            let at_ms = self.host.now_ms();
            self.enqueue(Entry {
                contact: member.id.clone(),
                kind: EntryKind::RefusedByHost,
                field: entry.crm,
                member: member.field(&field),
                crm,
                ids: Vec::new(),
                reason,
                at_ms,
            })?;
        }
        Ok(())
    }

    /// Tells a system that cannot be asked what changed.
    fn push(&mut self, member: &Member, mut link: Link, lane: Lane) -> HostResult {
        let disabled = schema::disabled(self)?;
        let (mut fields, mut bases) = (Fields::new(), Vec::new());
        for entry in self.entries(&disabled).filter(|entry| entry.dir != Direction::FromCrm) {
            let value = self.member_value(entry, member);
            let key = map_key(entry);
            let base = link.base(key);
            if base.is_some_and(|base| base.member == hash(value.as_ref())) {
                continue;
            }
            bases.push(pending(
                &base_of(key, value.as_ref(), value.as_ref(), entry.dir),
                base.map_or(0, |base| base.crm),
            ));
            fields.insert(entry.crm.clone(), to_crm(entry, member.field(&entry.wa)));
        }
        link.is_member_changed = false;
        link.is_crm_changed = false;
        match (fields.is_empty(), link.crm_id.clone()) {
            (false, Some(id)) => {
                let operation = Operation::Update { id, revision: None, fields, raw: None };
                self.ask(&member.id, &mut link, &operation, 0, bases, lane)
            }
            _ => self.save_link(&member.id, &link),
        }
    }

    /// A contact that a system which cannot be asked sent.
    pub fn received(&mut self, contact: &str, record: &Record) -> HostResult {
        let Some(member) = self.host.member(contact)? else { return Ok(()) };
        let mut link = self.link(&member.id)?;
        if record.updated_at_ms.is_some_and(|at_ms| at_ms < link.seen_ms) {
            return Ok(());
        }
        if link.status != Status::Linked {
            link.status = Status::Linked;
            link.crm_id = Some(record.id.clone());
            self.set_owner(&record.id, &member.id)?;
        }
        link.seen_ms = record.updated_at_ms.unwrap_or(link.seen_ms);
        let merged = self.merge(&member, &mut link, record, 0)?;
        self.apply(&member, &mut link, merged.changes)?;
        // What goes back is compared with the member, and sent by `push`.
        link.is_member_changed |= !merged.fields.is_empty();
        self.save_link(&member.id, &link)?;
        if link.is_member_changed { self.wake(&member.id, COALESCE_MS, Lane::Live) } else { Ok(()) }
    }

    /// Whether a contact has the values of the last synchronisation in the fields that are known:
    /// our own write, or a change of something else.
    pub fn is_known(&self, link: &Link, fields: &Fields, phones: &[String]) -> bool {
        let country = self.settings.country_code.as_deref();
        let mut known = 0;
        for entry in &self.settings.map {
            let Some(value) = fields.get(&entry.crm) else { continue };
            let value = hash(comparable(entry, value.clone(), country).as_ref());
            let is_same = link.base(map_key(entry)).is_some_and(|base| {
                let has_number = || {
                    let numbers = phones.iter().map(|number| comparable(entry, Value::text(number), country));
                    entry.transform == Transform::Phone
                        && numbers.into_iter().any(|number| hash(number.as_ref()) == base.crm)
                };
                base.crm == value || has_number()
            });
            if !is_same {
                return false;
            }
            known += 1;
        }
        // A change of fields that are not in the map does not matter.
        known > 0 || !fields.is_empty()
    }

    /// What is left to do after an answer.
    fn finish(&mut self, contact: &str, link: Link, lane: Lane) -> HostResult {
        let has_more = link.is_member_changed || link.is_crm_changed;
        self.save_link(contact, &link)?;
        if has_more { self.sync(contact, lane) } else { Ok(()) }
    }

    /// An answer that is an error.
    fn failed(&mut self, member: &Member, mut link: Link, context: &Context, error: ProviderError) -> HostResult {
        let contact = member.id.as_str();
        let lane = context.lane;
        let is_create = matches!(context.operation, Operation::Create { .. });
        let is_refused = matches!(error, ProviderError::Rejected { .. } | ProviderError::Credentials(_));
        if !is_refused {
            remember_sent(&mut link, context);
        }
        match error {
            ProviderError::Later(after_ms) => {
                if is_create && !self.provider.abilities().is_create_repeatable {
                    link.may_be_created = true;
                }
                self.fail(contact, link, "the CRM asks to come back later", after_ms, lane)
            }
            ProviderError::Credentials(message) => {
                self.host.log(&format!("the CRM refuses the credentials: {message}"));
                link.is_member_changed = true;
                self.save_link(contact, &link)?;
                self.wake(contact, CREDENTIALS_RETRY_MS, lane)
            }
            ProviderError::Missing if is_create => {
                self.give_up(contact, &mut link, "the CRM has no place for contacts (404)")
            }
            ProviderError::Missing => self.crm_deleted(contact, link),
            ProviderError::Outdated => {
                link.is_crm_changed = true;
                link.tries = link.tries.saturating_add(1);
                if link.tries >= MAX_TRIES {
                    // Someone else is writing all the time.
                    link.tries = 0;
                    self.save_link(contact, &link)?;
                    return self.wake(contact, MAX_RETRY_MS, lane);
                }
                self.finish(contact, link, lane)
            }
            ProviderError::Duplicate(ids) => match ids.as_slice() {
                [id] if !self.is_erased(id)? => self.link_to(member, link, id, lane),
                _ => {
                    link.status = Status::Conflict;
                    self.save_link(contact, &link)?;
                    self.note(contact, EntryKind::Several, ids, "the CRM has contacts that look like the person")
                }
            },
            ProviderError::Rejected { fields, message } => self.rejected(member, link, context, &fields, &message),
            ProviderError::Unsupported | ProviderError::TokenExpired => {
                self.give_up(contact, &mut link, &format!("{error:?}"))
            }
            ProviderError::Unreadable(message) => {
                if is_create && !self.provider.abilities().is_create_repeatable {
                    link.may_be_created = true;
                }
                self.fail(contact, link, &format!("unreadable response: {message}"), None, lane)
            }
        }
    }

    /// Values that the CRM refuses wait for the operator; the others are written.
    fn rejected(
        &mut self,
        member: &Member,
        mut link: Link,
        context: &Context,
        fields: &[String],
        message: &str,
    ) -> HostResult {
        let entries: Vec<MapEntry> = self.settings.map.clone();
        let entry_of = |pending: &PendingBase| entries.iter().find(|entry| map_key(entry) == pending.key);
        let is_only = context.bases.len() == 1;
        let mut refused = 0;
        for pending in &context.bases {
            let Some(entry) = entry_of(pending).filter(|entry| is_only || fields.contains(&entry.crm)) else {
                continue;
            };
            refused += 1;
            link.set_base(pending.refused());
            let at_ms = self.host.now_ms();
            self.enqueue(Entry {
                contact: member.id.clone(),
                kind: EntryKind::RefusedByCrm,
                field: entry.crm.clone(),
                member: self.member_value(entry, member),
                crm: None,
                ids: Vec::new(),
                reason: message.to_owned(),
                at_ms,
            })?;
        }
        if refused == 0 {
            return self.give_up(&member.id, &mut link, message);
        }
        link.is_member_changed = true;
        link.is_crm_changed = link.status == Status::Linked;
        self.finish(&member.id, link, context.lane)
    }

    /// The contact was deleted: the member is unlinked, and no contact is created again.
    fn crm_deleted(&mut self, contact: &str, mut link: Link) -> HostResult {
        if let Some(id) = link.crm_id.take() {
            self.remove_owner(&id)?;
        }
        link.status = Status::CrmDeleted;
        link.fields.clear();
        link.sent = None;
        link.is_crm_changed = false;
        link.is_member_changed = false;
        self.save_link(contact, &link)?;
        self.host.log(&format!("{contact}: the contact was deleted in the CRM; unlinked"));
        Ok(())
    }

    /// Tries again later, or gives up.
    fn fail(&mut self, contact: &str, mut link: Link, reason: &str, after_ms: Option<i64>, lane: Lane) -> HostResult {
        link.tries = link.tries.saturating_add(1);
        if link.tries >= MAX_TRIES {
            return self.give_up(contact, &mut link, reason);
        }
        link.is_member_changed = true;
        link.is_crm_changed = link.status == Status::Linked;
        let doubled_ms = RETRY_MS.saturating_mul(1 << link.tries.saturating_sub(1).min(10));
        let delay_ms = if link.may_be_created { self.provider.abilities().search_delay_ms } else { 0 };
        let after_ms = after_ms.unwrap_or(doubled_ms.min(MAX_RETRY_MS)).max(delay_ms);
        self.save_link(contact, &link)?;
        self.wake(contact, after_ms, lane)
    }

    /// A dead letter.
    fn give_up(&mut self, contact: &str, link: &mut Link, reason: &str) -> HostResult {
        link.status = Status::Failed;
        link.pending = 0;
        self.save_link(contact, link)?;
        let ids = link.crm_id.iter().cloned().collect();
        self.note(contact, EntryKind::DeadLetter, ids, reason)
    }

    /// The host could not carry out a request of a person.
    pub fn not_carried_out(&mut self, context: &Context, failure: &RequestFailure) -> HostResult {
        let Some(member) = self.host.member(&context.contact)? else { return Ok(()) };
        let mut link = self.link(&member.id)?;
        if link.pending != context.sequence || member.id != context.contact {
            return Ok(());
        }
        link.pending = 0;
        if failure.may_be_executed {
            remember_sent(&mut link, context);
        }
        let is_create = matches!(context.operation, Operation::Create { .. });
        link.may_be_created |= is_create && failure.may_be_executed && !self.provider.abilities().is_create_repeatable;
        self.fail(&member.id, link, &failure.code, None, context.lane)
    }

    /// An answer to a request that is no longer waited for: repeated, or of a contact that was
    /// merged into another one meanwhile.
    fn answered_late(
        &mut self,
        member: &Member,
        link: Link,
        context: &Context,
        result: Result<Answer, ProviderError>,
    ) -> HostResult {
        let (Operation::Create { .. }, Ok(Answer::Written(record))) = (&context.operation, result) else {
            return Ok(());
        };
        if link.crm_id.as_deref() == Some(record.id.as_str()) {
            return Ok(());
        }
        match link.status {
            Status::Unlinked | Status::Candidate if link.pending == 0 => {
                self.link_to(member, link, &record.id, context.lane)
            }
            _ => self.note(&member.id, EntryKind::Duplicate, vec![record.id], "created for a contact that was merged"),
        }
    }

    /// An answer about a person who was erased meanwhile: a contact that was created is deleted
    /// again.
    fn answered_after_erasure(&mut self, context: &Context, result: Result<Answer, ProviderError>) -> HostResult {
        match (&context.operation, result) {
            (Operation::Create { .. }, Ok(Answer::Written(record))) if self.is_erased(&context.contact)? => {
                self.set_erased(&record.id)?;
                self.delete_contact(&record.id)
            }
            _ => Ok(()),
        }
    }
}

/// Remembers a write whose outcome is unknown.
fn remember_sent(link: &mut Link, context: &Context) {
    if matches!(context.operation, Operation::Create { .. } | Operation::Update { .. }) {
        link.sent = Some(Sent { sequence: context.sequence, bases: context.bases.clone() });
    }
}

/// A base that holds once a write is carried out. `before` is the hash of what was there.
fn pending(base: &Base, before: u64) -> PendingBase {
    PendingBase { key: base.key, member: base.member, crm: base.crm, before, elements: base.elements.clone() }
}

/// The base of a list while the member has the merged value and the contact does not: what both
/// have, and what is still to be removed from the contact. `None` if it is no list.
fn base_of_halfway(base: Option<&Base>, key: u32, member: Option<&Value>, crm: Option<&Value>) -> Option<Base> {
    if !matches!(member, Some(Value::List(_))) && !matches!(crm, Some(Value::List(_))) {
        return None;
    }
    let hashes = |value: Option<&Value>| -> Vec<u64> {
        value.map(Value::elements).unwrap_or_default().iter().map(|element| hash_text(element)).collect()
    };
    let members = hashes(member);
    let known = base.map(|base| base.elements.as_slice()).unwrap_or_default();
    let is_known = |element: &u64| members.contains(element) || known.contains(element);
    let elements = hashes(crm).into_iter().filter(is_known).collect();
    Some(Base { key, member: base.map_or(0, |base| base.member), crm: base.map_or(0, |base| base.crm), elements })
}

/// A merged value as it is written.
fn joined(entry: &MapEntry, value: Option<Value>) -> Option<Value> {
    let value = value?;
    match entry.transform {
        Transform::Semicolons => Value::text(value.elements().join(";")),
        Transform::Commas => Value::text(value.elements().join(",")),
        _ => Some(value),
    }
}
