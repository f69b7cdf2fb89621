//! Two contacts become one, on a person's word. One transaction: all that was the one's is the other's.
//!
//! The ids of the contact that is gone, and of its conversations, stay good for ever: their rows point to what they became
//! (`merged_into`), and whoever comes with them meets that. So history is not written anew: an event of a million years
//! ago keeps its number, and plugins may keep the ids that they wrote down. What is looked up by contact moves.
//!
//! What both have: the stricter consent stands (who said STOP as one of the two wants no messages), a conversation of
//! both on one channel becomes one with the later window, and where a plugin kept a value under one key for both, the
//! kept contact's stays and the other is counted and gone.

mod belongings;

use crate::StoreError;
use crate::people::{Membership, Person, load_person};
use crate::read::Reader;
use crate::shown::{MergeReport, Standing};
use crate::writer::Tx;
use beadle_model::event::Merged;
use beadle_model::{Contact, ContactId, ConversationId, EventBody, Scope, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;

/// Scopes of contacts and conversations that are one with another now, each with that other.
pub(crate) type MergedScopes = HashMap<Scope, Scope>;

/// All of them. A person merges by hand, so they are few.
pub(crate) fn load_merged(conn: &Connection) -> Result<MergedScopes, StoreError> {
    let mut merged = HashMap::new();
    let mut contacts = conn.prepare_cached("SELECT id, merged_into FROM contacts WHERE merged_into IS NOT NULL")?;
    let pairs = contacts.query_map([], |row| Ok((ContactId(row.get(0)?), ContactId(row.get(1)?))))?;
    for pair in pairs {
        let (gone, kept) = pair?;
        merged.insert(Scope::Contact(gone), Scope::Contact(kept));
    }
    let sql = "SELECT id, merged_into FROM conversations WHERE merged_into IS NOT NULL";
    let mut conversations = conn.prepare_cached(sql)?;
    let pairs = conversations.query_map([], |row| Ok((ConversationId(row.get(0)?), ConversationId(row.get(1)?))))?;
    for pair in pairs {
        let (gone, kept) = pair?;
        merged.insert(Scope::Conversation(gone), Scope::Conversation(kept));
    }
    Ok(merged)
}

/// The contact that an id means now.
pub(crate) fn contact_behind(conn: &Connection, id: ContactId) -> Result<ContactId, StoreError> {
    let mut read = conn.prepare_cached("SELECT merged_into FROM contacts WHERE id = ?1")?;
    let into: Option<Option<i64>> = read.query_row([id.0], |row| row.get(0)).optional()?;
    Ok(into.flatten().map_or(id, ContactId))
}

/// The conversation that an id means now.
pub(crate) fn conversation_behind(conn: &Connection, id: ConversationId) -> Result<ConversationId, StoreError> {
    let mut read = conn.prepare_cached("SELECT merged_into FROM conversations WHERE id = ?1")?;
    let into: Option<Option<i64>> = read.query_row([id.0], |row| row.get(0)).optional()?;
    Ok(into.flatten().map_or(id, ConversationId))
}

/// What of a merge is to be done besides the rows.
struct Merging {
    report: MergeReport,
    /// Neither of the two is a member any more, and one was.
    left: bool,
}

impl Tx<'_> {
    /// Merges `gone` into `keep`; `dry`: says what would move, and nothing is changed.
    pub(crate) fn merge(
        &mut self,
        keep: ContactId,
        gone: ContactId,
        dry: bool,
        now: Timestamp,
    ) -> Result<MergeReport, StoreError> {
        let (kept, going) = (self.met(keep)?, self.met(gone)?);
        if kept.contact.id == going.contact.id {
            return Err(StoreError::SameContact { one: keep, other: gone, is: kept.contact.id });
        }
        if dry {
            self.conn.execute_batch("SAVEPOINT merge")?;
            let done = self.merge_rows(&kept, &going, now);
            self.conn.execute_batch("ROLLBACK TO merge; RELEASE merge")?;
            return done.map(|done| done.report);
        }
        let Merging { report, left } = self.merge_rows(&kept, &going, now)?;
        // Everything at hand may name who is gone.
        self.shadow.people.clear();
        self.shadow.people.merged = load_merged(self.conn)?;
        self.tell_merge(&report, left, now)?;
        Ok(report)
    }

    /// These two are not one person: they are not proposed again. In either order.
    pub(crate) fn keep_apart(&mut self, one: ContactId, other: ContactId, now: Timestamp) -> Result<(), StoreError> {
        let (a, b) = (self.met(one)?.contact.id, self.met(other)?.contact.id);
        if a == b {
            return Err(StoreError::SameContact { one, other, is: a });
        }
        self.conn
            .prepare_cached("INSERT INTO kept_apart (a, b, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute([a.0.min(b.0), a.0.max(b.0), now.0])?;
        Ok(())
    }

    /// The contact behind an id, as it is on disk.
    fn met(&self, id: ContactId) -> Result<Person, StoreError> {
        load_person(self.conn, id)?.ok_or_else(|| StoreError::NotFound { what: "contact", id: id.to_string() })
    }

    fn merge_rows(&mut self, kept: &Person, going: &Person, now: Timestamp) -> Result<Merging, StoreError> {
        let (keep, gone) = (kept.contact.id, going.contact.id);
        let mut report = MergeReport::new(keep, gone);
        report.names = self
            .conn
            .prepare_cached("UPDATE aliases SET contact = ?1 WHERE contact = ?2")?
            .execute([keep.0, gone.0])?;
        self.merge_clashes(keep, gone)?;
        self.merge_conversations(keep, gone, &mut report)?;
        let version = self.shadow.next_version();
        self.give_up_drafts()?;
        self.move_scope(Scope::Contact(gone), Scope::Contact(keep), version, now, &mut report)?;
        for (from, into) in report.joined.clone() {
            self.move_scope(Scope::Conversation(from), Scope::Conversation(into), version, now, &mut report)?;
        }
        self.merge_groups(keep, gone, &mut report)?;
        let (one, membership) = as_one(kept, going);
        (report.before, report.after) = (standing(&kept.contact), standing(&one));
        self.write_merged(&one, membership, gone)?;
        let was_member = [kept, going].iter().any(|person| person.membership == Membership::Member);
        Ok(Merging { report, left: was_member && membership != Membership::Member })
    }

    /// The kept contact as it is now, and a pointer where the other was. What pointed to that one points here.
    fn write_merged(&self, one: &Contact, membership: Membership, gone: ContactId) -> Result<(), StoreError> {
        let ms = |at: Option<Timestamp>| at.map(|at| at.0);
        self.conn
            .prepare_cached(
                "UPDATE contacts SET name = ?2, language = ?3, created_at = ?4, membership = ?5, member_since = ?6,
                     opted_out_since = ?7, timezone = ?8, marketing_stopped_since = ?9 WHERE id = ?1",
            )?
            .execute(params![
                one.id.0,
                one.name,
                one.language,
                one.created_at.0,
                membership as i64,
                ms(one.member_since),
                ms(one.opted_out_since),
                one.timezone,
                ms(one.marketing_stopped_since)
            ])?;
        self.conn
            .prepare_cached("UPDATE contacts SET merged_into = ?1 WHERE merged_into = ?2")?
            .execute([one.id.0, gone.0])?;
        self.conn
            .prepare_cached("UPDATE contacts SET merged_into = ?1, membership = 0, member_since = NULL WHERE id = ?2")?
            .execute([one.id.0, gone.0])?;
        Ok(())
    }

    /// Names that both came under are no clash any more; those with others are the kept contact's.
    fn merge_clashes(&self, keep: ContactId, gone: ContactId) -> Result<(), StoreError> {
        for sql in [
            "UPDATE OR REPLACE alias_clashes SET claimed = ?1 WHERE claimed = ?2",
            "UPDATE alias_clashes SET holder = ?1 WHERE holder = ?2",
            "INSERT INTO kept_apart (a, b, at)
             SELECT min(other, ?1), max(other, ?1), at FROM (SELECT a + b - ?2 AS other, at FROM kept_apart WHERE ?2 IN (a, b))
             WHERE other <> ?1 ON CONFLICT DO NOTHING",
        ] {
            self.conn.prepare_cached(sql)?.execute([keep.0, gone.0])?;
        }
        self.conn.prepare_cached("DELETE FROM kept_apart WHERE ?1 IN (a, b)")?.execute([gone.0])?;
        self.conn.prepare_cached("DELETE FROM alias_clashes WHERE holder = claimed")?.execute([])?;
        Ok(())
    }

    /// Conversations on a channel that only one had move; of two on one channel one stays, with the later window and the
    /// address of whoever wrote last.
    fn merge_conversations(
        &self,
        keep: ContactId,
        gone: ContactId,
        report: &mut MergeReport,
    ) -> Result<(), StoreError> {
        let theirs: Vec<(i64, String)> = self
            .conn
            .prepare_cached("SELECT id, channel FROM conversations WHERE contact = ?1 ORDER BY id")?
            .query_map([gone.0], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (from, channel) in theirs {
            let into: Option<i64> = self
                .conn
                .prepare_cached("SELECT id FROM conversations WHERE contact = ?1 AND channel = ?2")?
                .query_row(params![keep.0, channel], |row| row.get(0))
                .optional()?;
            match into {
                Some(into) => {
                    self.join_conversations(from, into)?;
                    report.joined.push((ConversationId(from), ConversationId(into)));
                }
                None => {
                    self.conn
                        .prepare_cached("UPDATE conversations SET contact = ?2 WHERE id = ?1")?
                        .execute([from, keep.0])?;
                    report.moved.push(ConversationId(from));
                }
            }
        }
        Ok(())
    }

    fn join_conversations(&self, from: i64, into: i64) -> Result<(), StoreError> {
        for sql in [
            // What was told of the window that stands: it is not told again, and one that nobody was told of is.
            "UPDATE windows SET (due_at, told_until, told_lead_ms) =
                 (SELECT min(windows.due_at, w.due_at), w.told_until, w.told_lead_ms FROM windows w WHERE w.conversation = ?1)
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

    /// The event of it, in a conversation of theirs; and that they are no member, where that is so by it.
    fn tell_merge(&mut self, report: &MergeReport, left: bool, now: Timestamp) -> Result<(), StoreError> {
        let Some(place) = self.place_of(report.kept)? else { return Ok(()) };
        let merged = Merged { contact: report.gone, conversations: report.joined.clone() };
        let change = EventBody::ContactChanged {
            change: "merged".to_owned(),
            merged: Some(Box::new(merged)),
            extra: serde_json::Value::Null,
        };
        self.append_about(change, place, report.kept, now)?;
        if left {
            self.append_about(EventBody::MemberLeft { reason: "merged".to_owned() }, place, report.kept, now)?;
        }
        Ok(())
    }

    /// Where this contact was heard last; else a group they are in. Somebody without either has met nobody, and no plugin.
    pub(crate) fn place_of(&self, contact: ContactId) -> Result<Option<ConversationId>, StoreError> {
        let sql = "SELECT id FROM (SELECT id, last_inbound_at AS at FROM conversations WHERE contact = ?1
                 UNION ALL SELECT conversation, -1 FROM group_members WHERE contact = ?1) ORDER BY at DESC, id LIMIT 1";
        let place = self.conn.prepare_cached(sql)?.query_row([contact.0], |row| row.get(0).map(ConversationId));
        Ok(place.optional()?)
    }
}

/// The two as one: what the kept one lacks is the other's, the longer acquaintance counts, and the stricter wish stands.
fn as_one(kept: &Person, going: &Person) -> (Contact, Membership) {
    let (a, b) = (&kept.contact, &going.contact);
    let earlier = |a: Option<Timestamp>, b: Option<Timestamp>| [a, b].into_iter().flatten().min();
    let membership = match (a.opted_out_since, b.opted_out_since) {
        // Whoever said STOP is what STOP made of them, as both.
        (Some(_), None) => kept.membership,
        (None, Some(_)) => going.membership,
        _ => stronger(kept.membership, going.membership),
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
    };
    (one, membership)
}

/// Who is a member is one; and who ever said anything about it is not asked again.
fn stronger(a: Membership, b: Membership) -> Membership {
    use Membership::{Declined, Left, Member, Unasked};
    [Member, Left, Declined].into_iter().find(|one| a == *one || b == *one).unwrap_or(Unasked)
}

fn standing(contact: &Contact) -> Standing {
    Standing {
        member_since: contact.member_since,
        opted_out_since: contact.opted_out_since,
        marketing_stopped_since: contact.marketing_stopped_since,
    }
}

impl Reader {
    /// The contact that an id means now: another one, where it was merged.
    pub fn contact_behind(&self, id: ContactId) -> Result<ContactId, StoreError> {
        self.one(|conn| contact_behind(conn, id))
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
            ..Contact::nobody()
        };
        Person { contact, membership, talks: Vec::new() }
    }

    #[test]
    fn who_said_stop_as_one_of_two_is_what_stop_made_of_them() {
        use Membership::{Declined, Left, Member, Unasked};
        for ((a, a_out), (b, b_out), is, is_out) in [
            ((Member, None), (Unasked, None), Member, None),
            ((Left, None), (Member, None), Member, None),
            ((Declined, None), (Left, None), Left, None),
            ((Unasked, None), (Declined, None), Declined, None),
            ((Member, None), (Left, Some(7)), Left, Some(7)),
            ((Member, None), (Declined, Some(7)), Declined, Some(7)),
            // JOIN after STOP: a member who wants no messages.
            ((Member, Some(5)), (Left, None), Member, Some(5)),
            ((Left, Some(5)), (Member, Some(7)), Member, Some(5)),
        ] {
            for (kept, going) in
                [(person(a, 1, a_out), person(b, 2, b_out)), (person(b, 2, b_out), person(a, 1, a_out))]
            {
                let (one, membership) = as_one(&kept, &going);
                let case = format!("{a:?} {a_out:?} and {b:?} {b_out:?}");
                assert_eq!((membership, one.opted_out_since), (is, is_out.map(Timestamp)), "{case}");
                assert_eq!(one.member_since.is_some(), is == Member, "{case}");
                assert_eq!((one.id, one.created_at), (kept.contact.id, Timestamp(1)), "{case}");
            }
        }
    }
}
