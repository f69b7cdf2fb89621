//! Our nouns as API 0.1.0 tells them to a plugin, and its few answers back.
//!
//! Everything is copied: the guest has a memory of its own. What the contract does not name yet (tags, attributes, the
//! extras of later versions) is there and empty.

use super::bindings::exports::beadle::plugin::{
    on_documents_changed, on_member_joined, on_member_left, on_message, on_message_status, on_reaction, on_schedule,
    on_timer, on_window_closed, on_window_expiring,
};
use super::said::said;
use super::types as wit;
use crate::host::Stop;
use crate::report::Call;
use beadle_model::event::{Pricing, Problem};
use beadle_model::{Contact, Context, ConversationView, Disposition, EventBody, Referral, Refusal, Scope};
use beadle_model::{ParseIdError, Timestamp};
use serde_json::Value;

/// A JSON object with nothing in it.
pub(super) const NOTHING: &str = "{}";
/// The event's kind was looked at before, so this cannot be; it is said rather than panicked.
pub(super) const OTHER_KIND: Stop = Stop::Bug("an event is not of its own kind");

pub fn message(call: &Call, conversation: &ConversationView) -> Result<on_message::Event, Stop> {
    let EventBody::Message { message, content, context, referral, extra, .. } = &call.event.body else {
        return Err(OTHER_KIND);
    };
    Ok(on_message::Event {
        info: info(call),
        conversation: place(conversation, call.now),
        sender: contact(&conversation.contact),
        message: message.clone(),
        content: said(content),
        context: context.as_ref().map(quoted),
        referral: referral.as_ref().map(brought_by),
        extra: json(extra),
    })
}

pub fn reaction(call: &Call, conversation: &ConversationView) -> Result<on_reaction::Event, Stop> {
    let EventBody::Reaction { message, own_message, emoji, extra } = &call.event.body else {
        return Err(OTHER_KIND);
    };
    Ok(on_reaction::Event {
        info: info(call),
        conversation: place(conversation, call.now),
        sender: contact(&conversation.contact),
        message: message.clone(),
        own_message: own_message.map(|id| id.to_string()),
        emoji: emoji.clone(),
        extra: json(extra),
    })
}

pub fn joined(call: &Call, conversation: &ConversationView) -> Result<on_member_joined::Event, Stop> {
    let EventBody::MemberJoined { reason, again } = &call.event.body else { return Err(OTHER_KIND) };
    Ok(on_member_joined::Event {
        info: info(call),
        conversation: place(conversation, call.now),
        member: contact(&conversation.contact),
        reason: reason.clone(),
        again: *again,
        extra: NOTHING.into(),
    })
}

pub fn left(call: &Call, conversation: &ConversationView) -> Result<on_member_left::Event, Stop> {
    let EventBody::MemberLeft { reason } = &call.event.body else { return Err(OTHER_KIND) };
    Ok(on_member_left::Event {
        info: info(call),
        conversation: place(conversation, call.now),
        member: contact(&conversation.contact),
        reason: reason.clone(),
        extra: NOTHING.into(),
    })
}

pub fn timer(call: &Call) -> Result<on_timer::Event, Stop> {
    let EventBody::Timer { scope, key, due_at, payload, .. } = &call.event.body else { return Err(OTHER_KIND) };
    Ok(on_timer::Event {
        info: info(call),
        conversation: call.event.conversation.as_deref().map(|conversation| place(conversation, call.now)),
        scope: about(*scope),
        key: key.clone(),
        due_at: due_at.as_ms(),
        payload: payload.clone(),
        extra: NOTHING.into(),
    })
}

pub fn schedule(call: &Call) -> Result<on_schedule::Event, Stop> {
    let EventBody::Schedule {
        schedule, planned_at, timezone, for_zone, late_by_ms, caught_up, by_hand, payload, ..
    } = &call.event.body
    else {
        return Err(OTHER_KIND);
    };
    Ok(on_schedule::Event {
        info: info(call),
        schedule: schedule.clone(),
        planned_at: planned_at.as_ms(),
        timezone: timezone.clone(),
        for_zone: *for_zone,
        late_by_ms: *late_by_ms,
        caught_up: *caught_up,
        payload: json(payload),
        extra: if *by_hand { r#"{"by_hand":true}"# } else { NOTHING }.into(),
    })
}

pub fn window_expiring(call: &Call, conversation: &ConversationView) -> Result<on_window_expiring::Event, Stop> {
    let EventBody::WindowExpiring { closes_at, lead_ms } = &call.event.body else { return Err(OTHER_KIND) };
    Ok(on_window_expiring::Event {
        info: info(call),
        conversation: place(conversation, call.now),
        contact: contact(&conversation.contact),
        closes_at: closes_at.as_ms(),
        lead_ms: u64::try_from(*lead_ms).unwrap_or(0),
        extra: NOTHING.into(),
    })
}

pub fn window_closed(call: &Call, conversation: &ConversationView) -> Result<on_window_closed::Event, Stop> {
    let EventBody::WindowClosed { closed_at } = &call.event.body else { return Err(OTHER_KIND) };
    Ok(on_window_closed::Event {
        info: info(call),
        conversation: place(conversation, call.now),
        contact: contact(&conversation.contact),
        closed_at: closed_at.as_ms(),
        extra: NOTHING.into(),
    })
}

pub fn documents_changed(call: &Call) -> Result<on_documents_changed::Event, Stop> {
    let EventBody::DocumentsChanged { changed, removed, .. } = &call.event.body else { return Err(OTHER_KIND) };
    Ok(on_documents_changed::Event {
        info: info(call),
        changed: changed.clone(),
        removed: removed.clone(),
        extra: NOTHING.into(),
    })
}

pub fn status(call: &Call, conversation: &ConversationView) -> Result<on_message_status::Event, Stop> {
    let EventBody::MessageStatus { message, platform, status, problem, pricing, participant, extra, .. } =
        &call.event.body
    else {
        return Err(OTHER_KIND);
    };
    Ok(on_message_status::Event {
        info: info(call),
        conversation: place(conversation, call.now),
        message: message.to_string(),
        platform: platform.clone(),
        status: status.clone(),
        problem: problem.as_ref().map(why),
        pricing: pricing.as_ref().map(price),
        participant: participant.map(|id| id.to_string()),
        extra: json(extra),
    })
}

pub(super) fn info(call: &Call) -> wit::EventInfo {
    wit::EventInfo {
        id: call.event.id.to_string(),
        happened_at: call.event.happened_at.as_ms(),
        received_at: call.event.received_at.as_ms(),
        attempt: call.attempt,
        late: call.late,
        ending: call.ending.clone().map(|(how, by)| wit::Ending { how, by }),
        extra: NOTHING.into(),
    }
}

/// A window that has closed is none.
pub(super) fn place(conversation: &ConversationView, now: Timestamp) -> wit::Conversation {
    wit::Conversation {
        id: conversation.id.to_string(),
        channel: conversation.channel.to_string(),
        contact: if conversation.contact.is_known() { conversation.contact.id.to_string() } else { String::new() },
        group: conversation.group.clone(),
        window_closes_at: conversation.window_until.filter(|until| *until > now).map(Timestamp::as_ms),
        free_entry_until: conversation.free_entry_until.filter(|until| *until > now).map(Timestamp::as_ms),
    }
}

/// What a plugin may know of a person.
pub fn contact(contact: &Contact) -> wit::Contact {
    wit::Contact {
        id: contact.id.to_string(),
        name: contact.name.clone(),
        language: contact.language.clone(),
        timezone: contact.timezone.clone(),
        member: contact.member_since.is_some(),
        opted_out: contact.opted_out_since.is_some(),
        tags: vec![],
        attributes: NOTHING.into(),
        extra: NOTHING.into(),
    }
}

pub(super) fn quoted(context: &Context) -> wit::Context {
    wit::Context {
        quoted: context.quoted.clone(),
        quoted_message: context.quoted_message.map(|id| id.to_string()),
        forwarded: context.forwarded,
        frequently_forwarded: context.frequently_forwarded,
        extra: NOTHING.into(),
    }
}

fn brought_by(referral: &Referral) -> wit::Referral {
    wit::Referral {
        source_url: referral.source_url.clone(),
        source_id: referral.source_id.clone(),
        source_type: referral.source_type.clone(),
        headline: referral.headline.clone(),
        body: referral.body.clone(),
        click_id: referral.click_id.clone(),
        extra: NOTHING.into(),
    }
}

fn price(pricing: &Pricing) -> on_message_status::Pricing {
    on_message_status::Pricing {
        category: pricing.category.clone(),
        kind: pricing.kind.clone(),
        billable: pricing.billable,
    }
}

fn why(problem: &Problem) -> on_message_status::Problem {
    on_message_status::Problem {
        code: problem.code.clone(),
        title: problem.title.clone(),
        details: problem.details.clone(),
        by: problem.by.clone(),
    }
}

pub(super) fn about(scope: Scope) -> wit::Scope {
    match scope {
        Scope::Plugin => wit::Scope::Plugin,
        Scope::Contact(id) => wit::Scope::Contact(id.to_string()),
        Scope::Conversation(id) => wit::Scope::Conversation(id.to_string()),
    }
}

pub(super) fn json(value: &Value) -> String {
    if value.is_null() { NOTHING.into() } else { value.to_string() }
}

/// The way back: whom a plugin means.
impl TryFrom<wit::Scope> for Scope {
    type Error = ParseIdError;

    fn try_from(scope: wit::Scope) -> Result<Self, ParseIdError> {
        Ok(match scope {
            wit::Scope::Plugin => Scope::Plugin,
            wit::Scope::Contact(id) => Scope::Contact(id.parse()?),
            wit::Scope::Conversation(id) => Scope::Conversation(id.parse()?),
        })
    }
}

impl From<wit::Disposition> for Disposition {
    fn from(said: wit::Disposition) -> Self {
        match said {
            wit::Disposition::Pass => Disposition::Pass,
            wit::Disposition::Claimed => Disposition::Claimed,
            wit::Disposition::Stopped => Disposition::Stopped,
        }
    }
}

impl From<Refusal> for wit::Refusal {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code, message: refusal.message, instead: refusal.instead }
    }
}
