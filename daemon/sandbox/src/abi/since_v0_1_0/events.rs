//! Events of the model as records of contract 0.1.0.
//!
//! Everything is copied, because the guest has a memory of its own. Ids of the platform become
//! handles and its JSON is redacted on the way ([`crate::redact`]). Fields that the contract has
//! but this version does not fill (extras of later versions) are present and empty.

use crate::bindings::latest::{
    on_documents_changed, on_member_joined, on_member_left, on_message, on_message_status, on_reaction, on_response,
    on_schedule, on_timer, on_webhook, on_window_closed, on_window_expiring, types as wit,
};
use crate::bindings::{contact, scope};
use crate::call::Call;
use crate::handles::{Handles, Kind};
use crate::host::Stop;
use crate::redact::redact;
use beadle_model::event::RequestOutcome;
use beadle_model::event::{Pricing, Problem};
use beadle_model::{Context, ConversationView, EventBody, Referral, Timestamp};
use serde_json::Value;

/// A JSON object without members.
const EMPTY: &str = "{}";
/// The caller matches on the event's kind first, so this cannot happen.
const OTHER_KIND: Stop = Stop::Bug("the event is of another kind");
const NO_CONVERSATION: Stop = Stop::Bug("an event of this kind belongs to a conversation");

/// Converts the event of one call.
pub struct Encoder<'a> {
    pub(super) call: &'a Call,
    handles: &'a Handles,
}

impl<'a> Encoder<'a> {
    pub fn new(call: &'a Call, handles: &'a Handles) -> Self {
        Self { call, handles }
    }

    pub fn message(&self) -> Result<on_message::Event, Stop> {
        let EventBody::Message { message, content, context, referral, extra, .. } = self.body() else {
            return Err(OTHER_KIND);
        };
        let conversation = self.in_conversation()?;
        Ok(on_message::Event {
            info: self.info(),
            conversation: self.conversation(conversation),
            sender: contact(&conversation.contact),
            message: self.message_handle(message),
            content: self.content(content),
            context: context.as_ref().map(|context| self.context(context)),
            referral: referral.as_ref().map(referral_of),
            extra: self.json(extra),
        })
    }

    pub fn reaction(&self) -> Result<on_reaction::Event, Stop> {
        let EventBody::Reaction { message, own_message, emoji, extra } = self.body() else { return Err(OTHER_KIND) };
        let conversation = self.in_conversation()?;
        Ok(on_reaction::Event {
            info: self.info(),
            conversation: self.conversation(conversation),
            sender: contact(&conversation.contact),
            message: self.message_handle(message),
            own_message: own_message.map(|id| id.to_string()),
            emoji: emoji.clone(),
            extra: self.json(extra),
        })
    }

    pub fn member_joined(&self) -> Result<on_member_joined::Event, Stop> {
        let EventBody::MemberJoined { reason, again } = self.body() else { return Err(OTHER_KIND) };
        let conversation = self.in_conversation()?;
        Ok(on_member_joined::Event {
            info: self.info(),
            conversation: self.conversation(conversation),
            member: contact(&conversation.contact),
            reason: reason.clone(),
            rejoined: *again,
            extra: EMPTY.into(),
        })
    }

    pub fn member_left(&self) -> Result<on_member_left::Event, Stop> {
        let EventBody::MemberLeft { reason } = self.body() else { return Err(OTHER_KIND) };
        let conversation = self.in_conversation()?;
        Ok(on_member_left::Event {
            info: self.info(),
            conversation: self.conversation(conversation),
            member: contact(&conversation.contact),
            reason: reason.clone(),
            extra: EMPTY.into(),
        })
    }

    pub fn timer(&self) -> Result<on_timer::Event, Stop> {
        let EventBody::Timer { scope: owner, key, due_at, payload, .. } = self.body() else { return Err(OTHER_KIND) };
        Ok(on_timer::Event {
            info: self.info(),
            conversation: self.call.event.conversation.as_deref().map(|conversation| self.conversation(conversation)),
            scope: scope(*owner),
            key: key.clone(),
            due_at: due_at.as_ms(),
            payload: payload.clone(),
            extra: EMPTY.into(),
        })
    }

    pub fn schedule(&self) -> Result<on_schedule::Event, Stop> {
        let EventBody::Schedule {
            schedule,
            planned_at,
            timezone,
            for_zone,
            late_by_ms,
            caught_up,
            manual,
            payload,
            ..
        } = self.body()
        else {
            return Err(OTHER_KIND);
        };
        Ok(on_schedule::Event {
            info: self.info(),
            schedule: schedule.clone(),
            planned_at: planned_at.as_ms(),
            timezone: timezone.clone(),
            for_zone: *for_zone,
            late_by_ms: *late_by_ms,
            caught_up: *caught_up,
            // The operator wrote it; it is not the platform's.
            payload: text_of(payload),
            extra: if *manual { r#"{"manual":true}"# } else { EMPTY }.into(),
        })
    }

    pub fn window_expiring(&self) -> Result<on_window_expiring::Event, Stop> {
        let EventBody::WindowExpiring { closes_at, lead_ms } = self.body() else { return Err(OTHER_KIND) };
        let conversation = self.in_conversation()?;
        Ok(on_window_expiring::Event {
            info: self.info(),
            conversation: self.conversation(conversation),
            contact: contact(&conversation.contact),
            closes_at: closes_at.as_ms(),
            lead_ms: u64::try_from(*lead_ms).unwrap_or(0),
            extra: EMPTY.into(),
        })
    }

    pub fn window_closed(&self) -> Result<on_window_closed::Event, Stop> {
        let EventBody::WindowClosed { closed_at } = self.body() else { return Err(OTHER_KIND) };
        let conversation = self.in_conversation()?;
        Ok(on_window_closed::Event {
            info: self.info(),
            conversation: self.conversation(conversation),
            contact: contact(&conversation.contact),
            closed_at: closed_at.as_ms(),
            extra: EMPTY.into(),
        })
    }

    pub fn documents_changed(&self) -> Result<on_documents_changed::Event, Stop> {
        let EventBody::DocumentsChanged { changed, removed, .. } = self.body() else { return Err(OTHER_KIND) };
        Ok(on_documents_changed::Event {
            info: self.info(),
            changed: changed.clone(),
            removed: removed.clone(),
            extra: EMPTY.into(),
        })
    }

    pub fn webhook(&self) -> Result<on_webhook::Event, Stop> {
        let EventBody::Webhook { hook, query, headers, body, .. } = self.body() else { return Err(OTHER_KIND) };
        Ok(on_webhook::Event {
            info: self.info(),
            hook: hook.clone(),
            query: query.clone(),
            headers: headers.clone(),
            body: body.as_bytes().to_vec(),
            extra: EMPTY.into(),
        })
    }

    pub fn response(&self) -> Result<on_response::Event, Stop> {
        let EventBody::Response { context, attempts, outcome, .. } = self.body() else { return Err(OTHER_KIND) };
        let outcome = match outcome {
            RequestOutcome::Answered { status, url, headers, body } => Ok(on_response::Response {
                status: *status,
                url: url.clone(),
                headers: headers.clone(),
                body: body.as_bytes().to_vec(),
            }),
            RequestOutcome::GivenUp { code, message, may_be_sent } => {
                Err(on_response::GivenUp { code: code.clone(), message: message.clone(), may_be_sent: *may_be_sent })
            }
        };
        Ok(on_response::Event {
            info: self.info(),
            context: context.clone(),
            attempts: *attempts,
            outcome,
            extra: EMPTY.into(),
        })
    }

    pub fn message_status(&self) -> Result<on_message_status::Event, Stop> {
        let EventBody::MessageStatus { message, platform, status, problem, pricing, participant, extra, .. } =
            self.body()
        else {
            return Err(OTHER_KIND);
        };
        Ok(on_message_status::Event {
            info: self.info(),
            conversation: self.conversation(self.in_conversation()?),
            message: message.to_string(),
            handle: platform.as_deref().map(|id| self.message_handle(id)),
            status: status.clone(),
            problem: problem.as_ref().map(|problem| self.problem(problem)),
            pricing: pricing.as_ref().map(pricing_of),
            participant: participant.map(|id| id.to_string()),
            extra: self.json(extra),
        })
    }

    pub(super) fn body(&self) -> &'a EventBody {
        &self.call.event.body
    }

    pub(super) fn in_conversation(&self) -> Result<&'a ConversationView, Stop> {
        self.call.event.conversation.as_deref().ok_or(NO_CONVERSATION)
    }

    pub(super) fn info(&self) -> wit::EventInfo {
        let event = &self.call.event;
        wit::EventInfo {
            id: event.id.to_string(),
            happened_at: event.happened_at.as_ms(),
            received_at: event.received_at.as_ms(),
            attempt: self.call.attempt,
            late: self.call.late,
            ending: self.call.ending.clone().map(|(outcome, plugin)| wit::Ending { outcome, plugin }),
            extra: EMPTY.into(),
        }
    }

    /// A window that has closed counts as none.
    pub(super) fn conversation(&self, view: &ConversationView) -> wit::Conversation {
        let now = self.call.now;
        wit::Conversation {
            id: view.id.to_string(),
            channel: view.channel.to_string(),
            contact: if view.contact.is_known() { view.contact.id.to_string() } else { String::new() },
            is_group: view.group.is_some(),
            window_closes_at: view.window_until.filter(|until| *until > now).map(Timestamp::as_ms),
            free_entry_until: view.free_entry_until.filter(|until| *until > now).map(Timestamp::as_ms),
        }
    }

    pub(super) fn context(&self, context: &Context) -> wit::Context {
        wit::Context {
            quoted: context.quoted.as_deref().map(|id| self.message_handle(id)),
            quoted_message: context.quoted_message.map(|id| id.to_string()),
            forwarded: context.forwarded,
            frequently_forwarded: context.frequently_forwarded,
            extra: EMPTY.into(),
        }
    }

    pub(super) fn message_handle(&self, platform_id: &str) -> String {
        self.handles.seal(Kind::Message, platform_id)
    }

    pub(super) fn join_request_handle(&self, platform_id: &str) -> String {
        self.handles.seal(Kind::JoinRequest, platform_id)
    }

    /// The platform's JSON, redacted.
    pub(super) fn json(&self, value: &Value) -> String {
        if value.is_null() { EMPTY.into() } else { redact(value, self.handles, self.number()).to_string() }
    }

    /// The platform's text, redacted.
    pub(super) fn text(&self, text: &str) -> String {
        match redact(&Value::String(text.to_owned()), self.handles, self.number()) {
            Value::String(text) => text,
            _ => String::new(),
        }
    }

    /// The phone number of the conversation's contact, if it is known by one.
    fn number(&self) -> Option<&str> {
        let address = self.call.event.conversation.as_ref()?.address.as_ref()?;
        Some(address.value.as_str()).filter(|value| !value.is_empty())
    }

    fn problem(&self, problem: &Problem) -> on_message_status::Problem {
        on_message_status::Problem {
            code: problem.code.clone(),
            title: self.text(&problem.title),
            details: problem.details.as_deref().map(|details| self.text(details)),
            by: problem.by.clone(),
        }
    }
}

/// JSON that is not the platform's, as it is.
pub(super) fn text_of(value: &Value) -> String {
    if value.is_null() { EMPTY.into() } else { value.to_string() }
}

fn referral_of(referral: &Referral) -> wit::Referral {
    wit::Referral {
        source_url: referral.source_url.clone(),
        source_id: referral.source_id.clone(),
        source_type: referral.source_type.clone(),
        headline: referral.headline.clone(),
        body: referral.body.clone(),
        click_id: referral.click_id.clone(),
        extra: EMPTY.into(),
    }
}

fn pricing_of(pricing: &Pricing) -> on_message_status::Pricing {
    on_message_status::Pricing {
        category: pricing.category.clone(),
        kind: pricing.kind.clone(),
        billable: pricing.billable,
    }
}
