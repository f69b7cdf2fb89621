//! Reserved words (STOP, START, LEAVE, JOIN): their effect on a contact, and the reply.

use crate::error::StoreError;
use crate::people::{Membership, Person};
use crate::step::{NewSend, OutboxRow, SendState};
use crate::tx::Tx;
use beadle_model::{ConversationId, EventBody, EventId, Keyword, MessageId, Outgoing, PluginNo, Timestamp};

/// Applies a reserved word to a contact. Returns the event that follows, and whether anything
/// changed.
pub(super) fn apply_keyword(word: Keyword, person: &mut Person, at: Timestamp) -> (Option<EventBody>, bool) {
    let (was, was_opted_out) = (person.membership, person.contact.opted_out_since);
    let goes = matches!(word, Keyword::Stop | Keyword::Leave);
    match word {
        Keyword::Stop => person.contact.opted_out_since = was_opted_out.or(Some(at)),
        Keyword::Start => person.contact.opted_out_since = None,
        Keyword::Leave | Keyword::Join => {}
    }
    person.membership = match (goes, was) {
        (true, Membership::Unasked) => Membership::Declined,
        (true, Membership::Member) => Membership::Left,
        (true, other) => other,
        (false, _) => Membership::Member,
    };
    let reason = match word {
        Keyword::Stop => "stop",
        Keyword::Start => "start",
        Keyword::Leave => "leave",
        Keyword::Join => "join",
    };
    let reason = reason.to_owned();
    let event = match (was, person.membership) {
        (Membership::Member, Membership::Left) => {
            person.contact.member_since = None;
            Some(EventBody::MemberLeft { reason })
        }
        (before, Membership::Member) if before != Membership::Member => {
            person.contact.member_since = Some(at);
            Some(EventBody::MemberJoined { reason, again: before == Membership::Left })
        }
        _ => None,
    };
    (event, was != person.membership || was_opted_out != person.contact.opted_out_since)
}

impl Tx<'_> {
    /// Queues Beadle's reply to a reserved word.
    pub(super) fn queue_reply(
        &mut self,
        event: EventId,
        conversation: ConversationId,
        answer: &Outgoing,
        now: Timestamp,
    ) -> Result<OutboxRow, StoreError> {
        let send = NewSend {
            message: MessageId(self.shared.reserve_message()),
            conversation,
            body: answer.clone(),
            reply: true,
            state: SendState::Queued,
            due_at: NewSend::AT_ONCE,
        };
        self.insert_send(&send, Some(event), PluginNo::HOST, now)?;
        Ok(send.into_row(Some(event), PluginNo::HOST, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::{Contact, ContactId};

    fn person(membership: Membership, opted_out: bool) -> Person {
        let contact = Contact {
            id: ContactId(1),
            name: None,
            language: None,
            timezone: None,
            created_at: Timestamp(1),
            member_since: (membership == Membership::Member).then_some(Timestamp(1)),
            opted_out_since: opted_out.then_some(Timestamp(2)),
            marketing_stopped_since: None,
        };
        Person { contact, membership, conversations: Vec::new() }
    }

    #[test]
    fn keyword_changes_the_membership_once() {
        use Membership::{Declined, Left, Member, Unasked};
        // Before; the word; after; the event (reason and `again`); whether anything changed.
        let table = [
            (Unasked, false, Keyword::Stop, Declined, true, None, true),
            (Member, false, Keyword::Stop, Left, true, Some("left stop"), true),
            (Left, true, Keyword::Stop, Left, true, None, false),
            (Left, false, Keyword::Stop, Left, true, None, true),
            (Unasked, false, Keyword::Start, Member, false, Some("joined start"), true),
            (Declined, true, Keyword::Start, Member, false, Some("joined start"), true),
            (Left, true, Keyword::Start, Member, false, Some("joined start again"), true),
            (Member, false, Keyword::Start, Member, false, None, false),
            (Member, true, Keyword::Start, Member, false, None, true),
            (Member, false, Keyword::Leave, Left, false, Some("left leave"), true),
            (Left, false, Keyword::Leave, Left, false, None, false),
            (Left, true, Keyword::Join, Member, true, Some("joined join again"), true),
            (Member, false, Keyword::Join, Member, false, None, false),
        ];
        for (was, was_out, word, is, is_out, event, changed) in table {
            let mut person = person(was, was_out);
            let (body, did_change) = apply_keyword(word, &mut person, Timestamp(9));
            let event_text = body.map(|body| match body {
                EventBody::MemberJoined { reason, again } => {
                    format!("joined {reason}{}", if again { " again" } else { "" })
                }
                EventBody::MemberLeft { reason } => format!("left {reason}"),
                other => panic!("{other:?}"),
            });
            let case = format!("{was:?} out={was_out} {word:?}");
            assert_eq!(event_text.as_deref(), event, "{case}");
            assert_eq!(did_change, changed, "{case}");
            assert_eq!(person.membership, is, "{case}");
            assert_eq!(person.contact.opted_out_since.is_some(), is_out, "{case}");
            assert_eq!(person.contact.member_since.is_some(), is == Member, "{case}");
        }
    }
}
