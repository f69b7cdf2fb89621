//! Reserved words: their effect on a contact, and the reply.
//!
//! A word changes the membership, asks the operator for something, or answers a question of
//! Beadle's own; what it says about consent becomes an entry of the ledger.

use super::inbound::Inbound;
use crate::consents::{find_consent, is_known};
use crate::error::StoreError;
use crate::people::{Membership, Person};
use crate::requests::RequestKind;
use crate::step::{HostAnswer, KeywordMatch, NewSend, OutboxRow, SendState};
use crate::tx::Tx;
use beadle_model::consent::{ConsentAct, ConsentSource, NewConsent, Purpose, actor};
use beadle_model::effect::SendOptions;
use beadle_model::keyword::Language;
use beadle_model::{
    ConsentState, ContactId, ConversationId, EventBody, EventId, Keyword, MessageId, Outgoing, PluginNo, Timestamp,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a word does besides changing the contact.
#[derive(Default)]
pub(super) struct AppliedWord {
    /// The event that follows from it.
    pub(super) event: Option<EventBody>,
    /// What it says about consent.
    pub(super) consents: Vec<NewConsent>,
    /// The reply.
    pub(super) reply: Option<Outgoing>,
}

/// What an answer to a question of Beadle's own meets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AnswerOutcome {
    /// An open question.
    InTime,
    /// A question that is no longer open.
    Late,
    /// No question, or one that was answered before.
    NoQuestion,
}

/// Applies a word to the membership. Returns the event that follows, and whether anything changed.
pub(super) fn apply_membership(word: Keyword, person: &mut Person, at: Timestamp) -> (Option<EventBody>, bool) {
    let was = person.membership;
    let (goes, reason) = match word {
        Keyword::Stop => (true, "stop"),
        Keyword::Start => (false, "start"),
        Keyword::Leave => (true, "leave"),
        Keyword::Join => (false, "join"),
        _ => return (None, false),
    };
    person.membership = match (goes, was) {
        (true, Membership::Unasked) => Membership::Declined,
        (true, Membership::Member) => Membership::Left,
        (true, other) => other,
        (false, _) => Membership::Member,
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
    (event, was != person.membership)
}

/// What a word says about consent.
fn consents_of(word: Keyword, at: Timestamp) -> Vec<NewConsent> {
    let granted = |purpose| NewConsent::in_chat(purpose, ConsentAct::Granted, at);
    let withdrawn = |purpose| NewConsent::in_chat(purpose, ConsentAct::Withdrawn, at);
    match word {
        Keyword::Stop => vec![withdrawn(Purpose::Service)],
        Keyword::Start => vec![granted(Purpose::Service), granted(Purpose::Group)],
        Keyword::Leave => vec![withdrawn(Purpose::Group)],
        Keyword::Join => vec![granted(Purpose::Group)],
        Keyword::StopMarketing => vec![withdrawn(Purpose::Marketing)],
        _ => vec![],
    }
}

/// The text in the language of the word or of the contact, else the first.
fn in_language<'a, T>(
    texts: &'a [T],
    language_of: impl Fn(&'a T) -> &'a str,
    stated: Option<Language>,
    known: Option<&str>,
) -> Option<&'a T> {
    let is = |wanted: &str| {
        let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        texts.iter().find(|text| primary(language_of(text)) == primary(wanted))
    };
    stated.and_then(|language| is(language.code())).or_else(|| known.and_then(is)).or_else(|| texts.first())
}

impl Tx<'_> {
    /// Applies a reserved word to a contact that has a row.
    pub(super) fn apply_word(
        &mut self,
        word: &KeywordMatch,
        person: &mut Person,
        inbound: &Inbound<'_>,
    ) -> Result<AppliedWord, StoreError> {
        let (at, now) = (inbound.expressed_at(), inbound.now);
        let (event, mut changed) = apply_membership(word.keyword, person, inbound.at());
        let mut is_late = false;
        let mut consents = consents_of(word.keyword, at);
        if matches!(word.keyword, Keyword::Stop | Keyword::Leave) {
            let mut profile = person.contact.profile().clone();
            profile.left_before = Some(MessageId(self.shared.next_message.load(Ordering::Relaxed)));
            person.contact.profile = Some(Arc::new(profile));
            self.cache.is_restricting = true;
        }
        let conversation = person.conversations.iter().find(|(channel, _)| **channel == *inbound.sender.channel);
        let requester = (person.contact.id, conversation.map(|(_, id)| *id));
        match (word.keyword, &word.topic) {
            (Keyword::OptIn, Some(topic)) => {
                let known = person.contact.language.as_deref();
                let wording = in_language(&topic.wordings, |wording| &wording.language, word.language, known).cloned();
                consents.push(NewConsent {
                    wording,
                    ..NewConsent::in_chat(topic.purpose.clone(), ConsentAct::Granted, at)
                });
            }
            (Keyword::OptOut, Some(topic)) => {
                consents.push(NewConsent::in_chat(topic.purpose.clone(), ConsentAct::Withdrawn, at));
            }
            (Keyword::Yes | Keyword::No, _) => {
                let is_yes = word.keyword == Keyword::Yes;
                match self.apply_answer(word.answer, is_yes, person, (at, now), &mut consents)? {
                    AnswerOutcome::InTime => changed = true,
                    AnswerOutcome::Late => is_late = is_yes,
                    AnswerOutcome::NoQuestion => is_late = is_yes && word.is_typed,
                }
            }
            (Keyword::Help, _) => changed = true,
            (Keyword::Human, _) => {
                self.open_request(RequestKind::Human, requester, now)?;
                changed = true;
            }
            (Keyword::MyData, _) => {
                self.open_request(RequestKind::Export, requester, now)?;
                tracing::info!(contact = %requester.0, "a person asks for a copy of their data");
                changed = true;
            }
            (Keyword::ForgetMe, _) => {
                self.open_request(RequestKind::Erase, requester, now)?;
                tracing::info!(contact = %requester.0, "a person asks for the erasure of their data");
                changed = true;
            }
            _ => {}
        }
        for consent in &consents {
            changed |= !is_known(self.conn, &person.contact, consent)?;
        }
        let known = person.contact.language.as_deref();
        // Nothing follows from an answer that comes too late, and the person should know.
        let replies = if is_late { &word.late_replies } else { &word.replies };
        let reply = in_language(replies, |(language, _)| language.code(), word.language, known);
        Ok(AppliedWord { event, consents, reply: reply.filter(|_| changed || is_late).map(|(_, reply)| reply.clone()) })
    }

    /// Applies the answer to a question of Beadle's own.
    fn apply_answer(
        &mut self,
        question: Option<HostAnswer>,
        is_yes: bool,
        person: &Person,
        (at, now): (Timestamp, Timestamp),
        consents: &mut Vec<NewConsent>,
    ) -> Result<AnswerOutcome, StoreError> {
        let contact = &person.contact;
        match question {
            Some(HostAnswer::Export) => self.answer_confirmable(RequestKind::Export, contact.id, is_yes, now),
            Some(HostAnswer::Erase) => self.answer_confirmable(RequestKind::Erase, contact.id, is_yes, now),
            Some(HostAnswer::Consent(id)) => {
                let Some(asked) = find_consent(self.conn, id)? else { return Ok(AnswerOutcome::NoQuestion) };
                let decision = contact.consent_for(&asked.consent.purpose);
                let is_open = decision.state == ConsentState::Requested
                    && decision.by.is_some_and(|mark| mark.entry == id)
                    && asked.consent.expires_at.is_none_or(|until| at <= until);
                if !is_open {
                    return Ok(AnswerOutcome::NoQuestion);
                }
                let act = if is_yes { ConsentAct::Granted } else { ConsentAct::Withdrawn };
                let answer = NewConsent { actor: actor::PERSON.into(), expires_at: None, at, act, ..asked.consent };
                consents.push(NewConsent { evidence: None, source: ConsentSource::Whatsapp, ..answer });
                Ok(AnswerOutcome::InTime)
            }
            None => Ok(AnswerOutcome::NoQuestion),
        }
    }

    /// Confirms or withdraws a request, which the task for privacy then carries out.
    fn answer_confirmable(
        &mut self,
        kind: RequestKind,
        contact: ContactId,
        is_yes: bool,
        now: Timestamp,
    ) -> Result<AnswerOutcome, StoreError> {
        if self.answer_request(kind, contact, is_yes, now)? {
            if is_yes {
                tracing::info!(%contact, request = kind.name(), "a person confirmed their request");
                self.cache.is_privacy_changed = true;
            }
            return Ok(AnswerOutcome::InTime);
        }
        Ok(if self.is_unconfirmed(kind, contact)? { AnswerOutcome::Late } else { AnswerOutcome::NoQuestion })
    }

    /// Queues Beadle's reply to a reserved word.
    pub(super) fn queue_reply(
        &mut self,
        event: EventId,
        conversation: ConversationId,
        answer: &Outgoing,
        now: Timestamp,
    ) -> Result<OutboxRow, StoreError> {
        self.queue_own(Some(event), conversation, answer, now)
    }

    /// Queues a message of Beadle's own.
    pub(crate) fn queue_own(
        &mut self,
        event: Option<EventId>,
        conversation: ConversationId,
        body: &Outgoing,
        now: Timestamp,
    ) -> Result<OutboxRow, StoreError> {
        let send = NewSend {
            message: MessageId(self.shared.reserve_message()),
            conversation,
            body: body.clone(),
            reply: event.is_some(),
            options: SendOptions::default(),
            state: SendState::Queued,
            due_at: NewSend::AT_ONCE,
            gate: None,
            outreach: None,
        };
        self.insert_send(&send, event, PluginNo::HOST, now)?;
        Ok(send.into_row(event, PluginNo::HOST, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::Contact;

    #[test]
    fn keyword_changes_the_membership_once() {
        use Membership::{Declined, Left, Member, Unasked};
        // Before; the word; after; the event (reason and `again`); whether the membership changed.
        let table = [
            (Unasked, Keyword::Stop, Declined, None, true),
            (Member, Keyword::Stop, Left, Some("left stop"), true),
            (Left, Keyword::Stop, Left, None, false),
            (Unasked, Keyword::Start, Member, Some("joined start"), true),
            (Declined, Keyword::Start, Member, Some("joined start"), true),
            (Left, Keyword::Start, Member, Some("joined start again"), true),
            (Member, Keyword::Start, Member, None, false),
            (Member, Keyword::Leave, Left, Some("left leave"), true),
            (Left, Keyword::Leave, Left, None, false),
            (Left, Keyword::Join, Member, Some("joined join again"), true),
            (Member, Keyword::Join, Member, None, false),
            (Member, Keyword::Help, Member, None, false),
            (Unasked, Keyword::StopMarketing, Unasked, None, false),
        ];
        for (was, word, is, event, changed) in table {
            let member_since = (was == Member).then_some(Timestamp(1));
            let contact = Contact { id: ContactId(1), member_since, ..Contact::unknown() };
            let mut person = Person { contact, membership: was, conversations: Vec::new() };
            let (body, did_change) = apply_membership(word, &mut person, Timestamp(9));
            let event_text = body.map(|body| match body {
                EventBody::MemberJoined { reason, again } => {
                    format!("joined {reason}{}", if again { " again" } else { "" })
                }
                EventBody::MemberLeft { reason } => format!("left {reason}"),
                other => panic!("{other:?}"),
            });
            let case = format!("{was:?} {word:?}");
            assert_eq!(event_text.as_deref(), event, "{case}");
            assert_eq!(did_change, changed, "{case}");
            assert_eq!(person.membership, is, "{case}");
            assert_eq!(person.contact.member_since.is_some(), is == Member, "{case}");
        }
    }

    #[test]
    fn reply_is_in_the_language_of_the_word_then_of_the_contact() {
        let texts = [(Language::En, "yes"), (Language::Nl, "ja"), (Language::Pt, "sim")];
        let pick =
            |stated, known| in_language(&texts, |(language, _)| language.code(), stated, known).map(|(_, text)| *text);
        assert_eq!(pick(Some(Language::Nl), Some("pt-BR")), Some("ja"));
        assert_eq!(pick(None, Some("pt-BR")), Some("sim"));
        assert_eq!(pick(Some(Language::Et), None), Some("yes"));
        assert_eq!(pick(None, Some("fr")), Some("yes"));
    }
}
