//! News, as API 0.1.0 tells them: of channels, contacts and groups, of people who ask to come in, and of colleagues.

use super::bindings::exports::beadle::plugin::{
    on_channel_changed, on_contact_changed, on_echo, on_group_changed, on_join_request,
};
use super::said::said;
use super::told::{NOTHING, OTHER_KIND, contact, info, json, place, quoted};
use crate::host::Stop;
use crate::report::Call;
use beadle_model::event::Problem;
use beadle_model::{ConversationId, ConversationView, EventBody};

pub fn join_request(call: &Call, conversation: &ConversationView) -> Result<on_join_request::Event, Stop> {
    let EventBody::JoinRequest { request, revoked, extra } = &call.event.body else { return Err(OTHER_KIND) };
    Ok(on_join_request::Event {
        info: info(call),
        conversation: place(conversation, call.now),
        requester: contact(&conversation.contact),
        request: request.clone(),
        revoked: *revoked,
        extra: json(extra),
    })
}

pub fn channel(call: &Call) -> Result<on_channel_changed::Event, Stop> {
    let EventBody::ChannelChanged(news) = &call.event.body else { return Err(OTHER_KIND) };
    Ok(on_channel_changed::Event {
        info: info(call),
        channel: news.channel.clone(),
        what: news.what.clone(),
        subject: news.subject.clone(),
        state: news.state.clone(),
        before: news.before.clone(),
        json: json(&news.json),
        extra: NOTHING.into(),
    })
}

pub fn contact_changed(call: &Call, conversation: &ConversationView) -> Result<on_contact_changed::Event, Stop> {
    let EventBody::ContactChanged { change, merged, extra } = &call.event.body else { return Err(OTHER_KIND) };
    let joined = |(gone, kept): &(ConversationId, ConversationId)| on_contact_changed::Joined {
        gone: gone.to_string(),
        kept: kept.to_string(),
    };
    let merged = merged.as_ref().map(|merged| on_contact_changed::Merged {
        contact: merged.contact.to_string(),
        conversations: merged.conversations.iter().map(joined).collect(),
    });
    Ok(on_contact_changed::Event {
        info: info(call),
        conversation: Some(place(conversation, call.now)),
        contact: contact(&conversation.contact),
        change: change.clone(),
        merged,
        extra: json(extra),
    })
}

pub fn group(call: &Call) -> Result<on_group_changed::Event, Stop> {
    let EventBody::GroupChanged(news) = &call.event.body else { return Err(OTHER_KIND) };
    let problem = |problem: &Problem| on_group_changed::Problem {
        code: problem.code.clone(),
        title: problem.title.clone(),
        details: problem.details.clone(),
    };
    Ok(on_group_changed::Event {
        info: info(call),
        channel: news.channel.clone(),
        group: news.group.clone(),
        conversation: call.event.conversation.as_ref().map(|conversation| conversation.id.to_string()),
        change: news.change.clone(),
        asked: news.asked.map(|message| message.to_string()),
        subject: news.subject.clone(),
        description: news.description.clone(),
        invite_link: news.invite_link.clone(),
        problem: news.problem.as_ref().map(problem),
        extra: json(&news.extra),
    })
}

pub fn echo(call: &Call, conversation: &ConversationView) -> Result<on_echo::Event, Stop> {
    let EventBody::Echo { message, content, context, extra } = &call.event.body else { return Err(OTHER_KIND) };
    Ok(on_echo::Event {
        info: info(call),
        conversation: place(conversation, call.now),
        message: message.clone(),
        content: said(content),
        context: context.as_ref().map(quoted),
        extra: json(extra),
    })
}
