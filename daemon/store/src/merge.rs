//! Merges two contacts, at an operator's command or because the platform reports a change, in one
//! transaction.
//!
//! The ids of the merged contact and of its conversations stay valid: their rows point to the kept
//! ones (`merged_into`), and every look-up follows that. So history is not rewritten: old events
//! and plugins keep their ids. Only rows that are looked up by contact move.
//!
//! If both contacts have a value, the stricter consent applies (an opt-out of either counts), two
//! conversations on one channel become one with the later window, and of two plugin values with the
//! same key the kept contact's stays; the other is counted and dropped.

mod rows;

use crate::consents::{entries_of, merged_withdrawals};
use crate::error::StoreError;
use crate::merged::{current_contact, load_merged};
use crate::people::{Membership, Person, load_person};
use crate::read::Reader;
use crate::tx::Tx;
use crate::views::{ContactStatus, MergeReport};
use beadle_model::event::MergedContact;
use beadle_model::{Consents, Contact, ContactId, ConversationId, EventBody, Profile, Role, Scope, Timestamp};
use rusqlite::{OptionalExtension, params};
use std::sync::Arc;

/// The result of merging the rows.
struct MergedRows {
    report: MergeReport,
    /// Whether a membership ended.
    left: bool,
}

impl Tx<'_> {
    /// Merges `removed` into `keep`. With `dry_run` it only reports what would move.
    pub(crate) fn merge(
        &mut self,
        keep: ContactId,
        removed: ContactId,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<MergeReport, StoreError> {
        let (kept, removed_person) = (self.read_contact(keep)?, self.read_contact(removed)?);
        if kept.contact.id == removed_person.contact.id {
            return Err(StoreError::SameContact { one: keep, other: removed, is: kept.contact.id });
        }
        if dry_run {
            self.conn.execute_batch("SAVEPOINT merge")?;
            let head = self.cache.consent_head;
            let done = self.merge_rows(&kept, &removed_person, now);
            self.conn.execute_batch("ROLLBACK TO merge; RELEASE merge")?;
            self.cache.consent_head = head;
            return done.map(|done| done.report);
        }
        let MergedRows { report, left } = self.merge_rows(&kept, &removed_person, now)?;
        // The cache may contain the merged contact.
        self.cache.people.clear();
        self.cache.people.merged = load_merged(self.conn)?;
        self.append_merge_events(&report, left, now)?;
        Ok(report)
    }

    /// Marks two contacts as different people. The order does not matter.
    pub(crate) fn mark_distinct(&mut self, one: ContactId, other: ContactId, now: Timestamp) -> Result<(), StoreError> {
        let (a, b) = (self.read_contact(one)?.contact.id, self.read_contact(other)?.contact.id);
        if a == b {
            return Err(StoreError::SameContact { one, other, is: a });
        }
        self.conn
            .prepare_cached(
                "INSERT INTO distinct_contacts (lower, higher, marked_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute([a.0.min(b.0), a.0.max(b.0), now.0])?;
        Ok(())
    }

    /// Reads the contact with this id, or the one that it was merged into.
    fn read_contact(&self, id: ContactId) -> Result<Person, StoreError> {
        let known = load_person(self.conn, id)?.filter(|person| person.contact.profile().erased_since.is_none());
        known.ok_or_else(|| StoreError::NotFound { object: "contact", id: id.to_string() })
    }

    fn merge_rows(&mut self, kept: &Person, removed_person: &Person, now: Timestamp) -> Result<MergedRows, StoreError> {
        let (keep, removed) = (kept.contact.id, removed_person.contact.id);
        let mut report = MergeReport::new(keep, removed);
        report.aliases = self
            .conn
            .prepare_cached("UPDATE aliases SET contact = ?1 WHERE contact = ?2")?
            .execute([keep.0, removed.0])?;
        self.merge_conflicts(keep, removed)?;
        self.merge_conversations(keep, removed, &mut report)?;
        let version = self.cache.next_version();
        self.abandon_drafts()?;
        self.move_scope(Scope::Contact(removed), Scope::Contact(keep), version, now, &mut report)?;
        for (from, into) in report.merged_conversations.clone() {
            self.move_scope(Scope::Conversation(from), Scope::Conversation(into), version, now, &mut report)?;
        }
        self.merge_groups(keep, removed, &mut report)?;
        self.merge_outreach(keep, removed)?;
        self.merge_lists(keep, removed)?;
        self.merge_opt_ins(keep, removed)?;
        self.merge_recipients(keep, removed)?;
        let (mut one, membership) = merged_contact(kept, removed_person);
        self.write_merged(&one, removed)?;
        self.merge_consents(kept, removed_person, &mut one, now)?;
        (report.before, report.after) = (status_of(&kept.contact), status_of(&one));
        self.update_person(&Person { contact: one, membership, conversations: Vec::new() })?;
        let was_member = [kept, removed_person].iter().any(|person| person.membership == Membership::Member);
        Ok(MergedRows { report, left: was_member && membership != Membership::Member })
    }

    /// Makes the removed contact, and whatever was merged into it, point to the kept one.
    fn write_merged(&self, one: &Contact, removed: ContactId) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("UPDATE contacts SET created_at = ?2 WHERE id = ?1")?
            .execute([one.id.0, one.created_at.0])?;
        self.conn
            .prepare_cached("UPDATE contacts SET merged_into = ?1 WHERE merged_into = ?2")?
            .execute([one.id.0, removed.0])?;
        self.conn
            .prepare_cached("UPDATE contacts SET merged_into = ?1, membership = 0, member_since = NULL WHERE id = ?2")?
            .execute([one.id.0, removed.0])?;
        self.conn
            .prepare_cached("UPDATE contact_requests SET contact = ?1 WHERE contact = ?2")?
            .execute([one.id.0, removed.0])?;
        Ok(())
    }

    /// Derives the consents of the one contact from the entries of both, and repeats withdrawals
    /// that the other's grants would override.
    fn merge_consents(
        &mut self,
        kept: &Person,
        removed: &Person,
        one: &mut Contact,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let entries = entries_of(self.conn, one.id)?;
        let mut profile = one.profile().clone();
        profile.consents = Consents::of(&entries);
        one.profile = Some(Arc::new(profile)).filter(|profile| **profile != Profile::default());
        let stricter = merged_withdrawals(kept, removed, one, now);
        self.record_consents(one, &stricter, now)?;
        Ok(())
    }

    /// Deletes conflicts between the two; those with others become the kept contact's.
    fn merge_conflicts(&self, keep: ContactId, removed: ContactId) -> Result<(), StoreError> {
        for sql in [
            "UPDATE OR REPLACE alias_conflicts SET claimant = ?1 WHERE claimant = ?2",
            "UPDATE alias_conflicts SET holder = ?1 WHERE holder = ?2",
            "INSERT INTO distinct_contacts (lower, higher, marked_at)
             SELECT min(other, ?1), max(other, ?1), marked_at
             FROM (SELECT lower + higher - ?2 AS other, marked_at FROM distinct_contacts WHERE ?2 IN (lower, higher))
             WHERE other <> ?1 ON CONFLICT DO NOTHING",
        ] {
            self.conn.prepare_cached(sql)?.execute([keep.0, removed.0])?;
        }
        self.conn.prepare_cached("DELETE FROM distinct_contacts WHERE ?1 IN (lower, higher)")?.execute([removed.0])?;
        self.conn.prepare_cached("DELETE FROM alias_conflicts WHERE holder = claimant")?.execute([])?;
        Ok(())
    }

    /// Moves conversations on channels that only one of them uses. Of two on one channel, one
    /// stays, with the later window and the address of the later message.
    fn merge_conversations(
        &self,
        keep: ContactId,
        removed: ContactId,
        report: &mut MergeReport,
    ) -> Result<(), StoreError> {
        let theirs: Vec<(i64, String)> = self
            .conn
            .prepare_cached("SELECT id, channel FROM conversations WHERE contact = ?1 ORDER BY id")?
            .query_map([removed.0], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (from, channel) in theirs {
            let into: Option<i64> = self
                .conn
                .prepare_cached("SELECT id FROM conversations WHERE contact = ?1 AND channel = ?2")?
                .query_row(params![keep.0, channel], |row| row.get(0))
                .optional()?;
            match into {
                Some(into) => {
                    self.merge_two_conversations(from, into)?;
                    report.merged_conversations.push((ConversationId(from), ConversationId(into)));
                }
                None => {
                    self.conn
                        .prepare_cached("UPDATE conversations SET contact = ?2 WHERE id = ?1")?
                        .execute([from, keep.0])?;
                    report.moved_conversations.push(ConversationId(from));
                }
            }
        }
        Ok(())
    }

    fn merge_two_conversations(&self, from: i64, into: i64) -> Result<(), StoreError> {
        for sql in [
            // The later window's last notice counts, so that none is repeated or omitted.
            "UPDATE windows SET (due_at, notified_until, notified_lead_ms) =
                 (SELECT min(windows.due_at, w.due_at), w.notified_until, w.notified_lead_ms FROM windows w WHERE w.conversation = ?1)
             WHERE conversation = ?2 AND EXISTS (SELECT 1 FROM windows w WHERE w.conversation = ?1)
               AND (SELECT window_until FROM conversations WHERE id = ?1) >
                   (SELECT window_until FROM conversations WHERE id = ?2)",
            "UPDATE OR IGNORE windows SET conversation = ?2 WHERE conversation = ?1",
            "UPDATE conversations SET (address_kind, address) =
                 (SELECT address_kind, address FROM conversations WHERE id = ?1)
             WHERE id = ?2 AND (address IS NULL
                 OR last_inbound_at < (SELECT last_inbound_at FROM conversations WHERE id = ?1))",
            "UPDATE conversations SET (last_inbound_at, window_until) =
                 (SELECT max(conversations.last_inbound_at, c.last_inbound_at),
                      max(conversations.window_until, c.window_until) FROM conversations c WHERE c.id = ?1)
             WHERE id = ?2",
            "UPDATE conversations SET merged_into = ?2 WHERE merged_into = ?1",
            "UPDATE conversations SET merged_into = ?2, contact = NULL WHERE id = ?1",
        ] {
            self.conn.prepare_cached(sql)?.execute([from, into])?;
        }
        self.conn.prepare_cached("DELETE FROM windows WHERE conversation = ?1")?.execute([from])?;
        Ok(())
    }

    /// Appends the events: the merge, and the end of a membership.
    fn append_merge_events(&mut self, report: &MergeReport, left: bool, now: Timestamp) -> Result<(), StoreError> {
        let Some(conversation) = self.latest_conversation(report.kept)? else { return Ok(()) };
        let merged = MergedContact { contact: report.removed, conversations: report.merged_conversations.clone() };
        let change = EventBody::ContactChanged {
            change: "merged".to_owned(),
            merged: Some(Box::new(merged)),
            extra: serde_json::Value::Null,
        };
        self.append_about(change, conversation, report.kept, now)?;
        if left {
            self.append_about(EventBody::MemberLeft { reason: "merged".to_owned() }, conversation, report.kept, now)?;
        }
        Ok(())
    }

    /// The conversation in which the contact wrote last, else a group that they are in. A contact
    /// with neither is unknown to plugins.
    pub(crate) fn latest_conversation(&self, contact: ContactId) -> Result<Option<ConversationId>, StoreError> {
        let sql = "SELECT id FROM (SELECT id, last_inbound_at AS at FROM conversations WHERE contact = ?1
                 UNION ALL SELECT conversation, -1 FROM group_members WHERE contact = ?1) ORDER BY at DESC, id LIMIT 1";
        let conversation = self.conn.prepare_cached(sql)?.query_row([contact.0], |row| row.get(0).map(ConversationId));
        Ok(conversation.optional()?)
    }
}

/// The merged contact: missing values come from the other, the earlier dates and the stricter
/// consent apply.
fn merged_contact(kept: &Person, removed_person: &Person) -> (Contact, Membership) {
    let (a, b) = (&kept.contact, &removed_person.contact);
    let earlier = |a: Option<Timestamp>, b: Option<Timestamp>| [a, b].into_iter().flatten().min();
    let membership = match (a.opted_out_since, b.opted_out_since) {
        // STOP determines the membership of both.
        (Some(_), None) => kept.membership,
        (None, Some(_)) => removed_person.membership,
        _ => merged_membership(kept.membership, removed_person.membership),
    };
    let member_since = earlier(a.member_since, b.member_since).filter(|_| membership == Membership::Member);
    let one = Contact {
        id: a.id,
        name: a.name.clone().or_else(|| b.name.clone()),
        language: a.language.clone().or_else(|| b.language.clone()),
        timezone: a.timezone.clone().or_else(|| b.timezone.clone()),
        created_at: a.created_at.min(b.created_at),
        member_since,
        opted_out_since: earlier(a.opted_out_since, b.opted_out_since),
        marketing_stopped_since: earlier(a.marketing_stopped_since, b.marketing_stopped_since),
        profile: Some(Arc::new(merged_profile(a.profile(), b.profile()))),
    };
    (one, membership)
}

/// Tags and attributes of both; the kept contact's values and role count, except that a ban of
/// either does. The consents are derived from the ledger afterwards.
fn merged_profile(a: &Profile, b: &Profile) -> Profile {
    let role = match (a.role, b.role) {
        (Role::Banned, _) | (_, Role::Banned) => Role::Banned,
        (Role::Member, other) => other,
        (role, _) => role,
    };
    Profile {
        role,
        tags: a.tags.union(&b.tags).cloned().collect(),
        attributes: b.attributes.clone().into_iter().chain(a.attributes.clone()).collect(),
        consents: a.consents.clone(),
        // Someone who wrote, or whose consent has a source, is not an import of unknown origin.
        quarantined_since: a.quarantined_since.and(b.quarantined_since),
        // Neither can be merged while it is being erased.
        erased_since: None,
        left_before: a.left_before.max(b.left_before),
    }
}

/// A membership of either counts, and so does a decision of either.
fn merged_membership(a: Membership, b: Membership) -> Membership {
    use Membership::{Declined, Left, Member, Unasked};
    [Member, Left, Declined].into_iter().find(|one| a == *one || b == *one).unwrap_or(Unasked)
}

fn status_of(contact: &Contact) -> ContactStatus {
    ContactStatus {
        member_since: contact.member_since,
        opted_out_since: contact.opted_out_since,
        marketing_stopped_since: contact.marketing_stopped_since,
    }
}

impl Reader {
    /// The contact that this one was merged into, or itself.
    pub fn current_contact(&self, id: ContactId) -> Result<ContactId, StoreError> {
        self.one(|conn| current_contact(conn, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(membership: Membership, since: i64, opted_out: Option<i64>) -> Person {
        let contact = Contact {
            id: ContactId(since),
            created_at: Timestamp(since),
            member_since: (membership == Membership::Member).then_some(Timestamp(since)),
            opted_out_since: opted_out.map(Timestamp),
            ..Contact::unknown()
        };
        Person { contact, membership, conversations: Vec::new() }
    }

    #[test]
    fn opt_out_of_one_contact_decides_the_merged_membership() {
        use Membership::{Declined, Left, Member, Unasked};
        for ((a, a_out), (b, b_out), is, is_out) in [
            ((Member, None), (Unasked, None), Member, None),
            ((Left, None), (Member, None), Member, None),
            ((Declined, None), (Left, None), Left, None),
            ((Unasked, None), (Declined, None), Declined, None),
            ((Member, None), (Left, Some(7)), Left, Some(7)),
            ((Member, None), (Declined, Some(7)), Declined, Some(7)),
            // JOIN after STOP: a member who has opted out of messages.
            ((Member, Some(5)), (Left, None), Member, Some(5)),
            ((Left, Some(5)), (Member, Some(7)), Member, Some(5)),
        ] {
            for (kept, removed_person) in
                [(person(a, 1, a_out), person(b, 2, b_out)), (person(b, 2, b_out), person(a, 1, a_out))]
            {
                let (one, membership) = merged_contact(&kept, &removed_person);
                let case = format!("{a:?} {a_out:?} and {b:?} {b_out:?}");
                assert_eq!((membership, one.opted_out_since), (is, is_out.map(Timestamp)), "{case}");
                assert_eq!(one.member_since.is_some(), is == Member, "{case}");
                assert_eq!((one.id, one.created_at), (kept.contact.id, Timestamp(1)), "{case}");
            }
        }
    }
}
