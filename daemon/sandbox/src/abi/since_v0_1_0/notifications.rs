//! Notifications and join requests as records of contract 0.1.0.

use super::events::Encoder;
use crate::bindings::contact;
use crate::bindings::latest::{
    on_channel_changed, on_consent_changed, on_contact_changed, on_echo, on_group_changed, on_join_request,
};
use crate::host::Stop;
use beadle_model::event::Problem;
use beadle_model::{ConversationId, EventBody};

const OTHER_KIND: Stop = Stop::Bug("the event is of another kind");

impl Encoder<'_> {
    pub fn join_request(&self) -> Result<on_join_request::Event, Stop> {
        let EventBody::JoinRequest { request, revoked, extra } = self.body() else { return Err(OTHER_KIND) };
        let conversation = self.in_conversation()?;
        Ok(on_join_request::Event {
            info: self.info(),
            conversation: self.conversation(conversation),
            requester: contact(&conversation.contact),
            request: self.join_request_handle(request),
            revoked: *revoked,
            extra: self.json(extra),
        })
    }

    pub fn channel_changed(&self) -> Result<on_channel_changed::Event, Stop> {
        let EventBody::ChannelChanged(notification) = self.body() else { return Err(OTHER_KIND) };
        Ok(on_channel_changed::Event {
            info: self.info(),
            channel: notification.channel.clone(),
            change: notification.change.clone(),
            subject: notification.subject.clone(),
            state: notification.state.clone(),
            before: notification.before.clone(),
            json: self.json(&notification.json),
            extra: "{}".into(),
        })
    }

    pub fn contact_changed(&self) -> Result<on_contact_changed::Event, Stop> {
        let EventBody::ContactChanged { change, merged, extra } = self.body() else { return Err(OTHER_KIND) };
        let conversation = self.in_conversation()?;
        let merged_conversation = |(removed, kept): &(ConversationId, ConversationId)| {
            on_contact_changed::MergedConversation { removed: removed.to_string(), kept: kept.to_string() }
        };
        Ok(on_contact_changed::Event {
            info: self.info(),
            conversation: Some(self.conversation(conversation)),
            contact: contact(&conversation.contact),
            change: change.clone(),
            merge: merged.as_ref().map(|merged| on_contact_changed::Merge {
                removed: merged.contact.to_string(),
                conversations: merged.conversations.iter().map(merged_conversation).collect(),
            }),
            extra: self.json(extra),
        })
    }

    pub fn consent_changed(&self) -> Result<on_consent_changed::Event, Stop> {
        let EventBody::ConsentChanged { purpose, act, source, wording, actor } = self.body() else {
            return Err(OTHER_KIND);
        };
        let conversation = self.in_conversation()?;
        Ok(on_consent_changed::Event {
            info: self.info(),
            conversation: Some(self.conversation(conversation)),
            contact: contact(&conversation.contact),
            purpose: purpose.to_string(),
            change: act.name().into(),
            source: source.name().into(),
            wording: wording.clone(),
            actor: actor.clone(),
            extra: "{}".into(),
        })
    }

    pub fn group_changed(&self) -> Result<on_group_changed::Event, Stop> {
        let EventBody::GroupChanged(notification) = self.body() else { return Err(OTHER_KIND) };
        let problem = |problem: &Problem| on_group_changed::Problem {
            code: problem.code.clone(),
            title: self.text(&problem.title),
            details: problem.details.as_deref().map(|details| self.text(details)),
        };
        // A group that could not be created is reported in the channel's own conversation.
        let group = self.call.event.conversation.as_ref().filter(|_| notification.group.is_some());
        Ok(on_group_changed::Event {
            info: self.info(),
            channel: notification.channel.clone(),
            group: group.map(|conversation| conversation.id.to_string()),
            change: notification.change.clone(),
            request: notification.requested_by.map(|message| message.to_string()),
            subject: notification.subject.clone(),
            description: notification.description.clone(),
            invite_link: notification.invite_link.clone(),
            problem: notification.problem.as_ref().map(problem),
            extra: self.json(&notification.extra),
        })
    }

    pub fn echo(&self) -> Result<on_echo::Event, Stop> {
        let EventBody::Echo { message, content, context, extra } = self.body() else { return Err(OTHER_KIND) };
        Ok(on_echo::Event {
            info: self.info(),
            conversation: self.conversation(self.in_conversation()?),
            message: self.message_handle(message),
            content: self.content(content),
            context: context.as_ref().map(|context| self.context(context)),
            extra: self.json(extra),
        })
    }
}
