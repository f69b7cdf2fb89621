//! `groups`: a mirror of the platform's groups, and changes as effects.
//!
//! A change is a row of the outbox, so that it is durable and sent once. Plugins name a group by
//! its conversation; the platform's id of it stays inside the host.

use super::answer::{Answer, HostError, answer};
use super::host_state::{HostState, bad_id};
use crate::bindings::contact;
use crate::bindings::latest::groups::{Group, Host, JoinRequest};
use crate::bindings::latest::types as wit;
use crate::handles::Kind;
use beadle_model::effect::SendOptions;
use beadle_model::outgoing::GroupChange;
use beadle_model::{ConversationId, Outgoing, Refusal};
use beadle_store::PlatformGroup;

impl Host for HostState {
    async fn list(&mut self, channel: Option<String>) -> Answer<Vec<Group>> {
        self.enter()?;
        answer(self.all_groups(channel.as_deref()))
    }

    async fn get(&mut self, group: String) -> Answer<Option<Group>> {
        self.enter()?;
        answer(self.find_group(&group).map(|found| found.map(encode)))
    }

    async fn members(&mut self, group: String) -> Answer<Vec<wit::Contact>> {
        self.enter()?;
        answer(self.members_of(&group))
    }

    async fn join_requests(&mut self, group: String) -> Answer<Vec<JoinRequest>> {
        self.enter()?;
        answer(self.requests_of(&group))
    }

    async fn create(
        &mut self,
        channel: String,
        subject: String,
        description: Option<String>,
        approval_required: bool,
    ) -> Answer<String> {
        self.enter()?;
        answer(self.create_group(&channel, GroupChange::Create { subject, description, approval_required }))
    }

    async fn change(&mut self, group: String, subject: Option<String>, description: Option<String>) -> Answer<String> {
        self.enter()?;
        answer(self.change_group(&group, GroupChange::Settings { subject, description }))
    }

    async fn set_picture(&mut self, group: String, picture: String) -> Answer<String> {
        self.enter()?;
        answer(match picture.parse() {
            Ok(media) => self.change_group(&group, GroupChange::Picture { media }),
            Err(error) => Err(bad_id(error).into()),
        })
    }

    async fn delete(&mut self, group: String) -> Answer<String> {
        self.enter()?;
        answer(self.change_group(&group, GroupChange::Delete))
    }

    async fn invite_link(&mut self, group: String, reset: bool) -> Answer<String> {
        self.enter()?;
        answer(self.change_group(&group, GroupChange::InviteLink { reset }))
    }

    async fn answer(&mut self, group: String, requests: Vec<String>, approve: bool) -> Answer<String> {
        self.enter()?;
        let opened: Result<_, Refusal> = requests.iter().map(|request| self.platform_request(request)).collect();
        answer(match opened {
            Ok(requests) => self.change_group(&group, GroupChange::Answer { requests, approve }),
            Err(refusal) => Err(refusal.into()),
        })
    }

    async fn remove(&mut self, group: String, contacts: Vec<String>) -> Answer<String> {
        self.enter()?;
        let contacts: Result<Vec<_>, _> = contacts.iter().map(|id| id.parse()).collect();
        answer(match contacts {
            Ok(contacts) => self.change_group(&group, GroupChange::Remove { contacts }),
            Err(error) => Err(bad_id(error).into()),
        })
    }

    async fn refresh(&mut self, group: String) -> Answer<String> {
        self.enter()?;
        answer(self.change_group(&group, GroupChange::Refresh))
    }

    async fn pin(&mut self, group: String, message: String, days: u32) -> Answer<String> {
        self.enter()?;
        answer(match self.platform_id(&message) {
            Ok(message) => self.send_in_group(&group, Outgoing::Pin { message, days: Some(days) }),
            Err(refusal) => Err(refusal.into()),
        })
    }

    async fn unpin(&mut self, group: String, message: String) -> Answer<String> {
        self.enter()?;
        answer(match self.platform_id(&message) {
            Ok(message) => self.send_in_group(&group, Outgoing::Pin { message, days: None }),
            Err(refusal) => Err(refusal.into()),
        })
    }
}

impl HostState {
    fn all_groups(&mut self, channel: Option<&str>) -> Result<Vec<Group>, HostError> {
        self.event()?;
        Ok(self.facts.reader.groups(channel)?.into_iter().map(encode).collect())
    }

    fn find_group(&self, group: &str) -> Result<Option<PlatformGroup>, HostError> {
        self.event()?;
        let conversation: ConversationId = group.parse().map_err(bad_id)?;
        Ok(self.facts.reader.group_of(conversation)?)
    }

    fn known_group(&self, group: &str) -> Result<PlatformGroup, HostError> {
        self.find_group(group)?.ok_or_else(|| {
            Refusal::new("unknown-group", format!("There is no group `{group}`, or it was deleted."))
                .instead("Use an id (`cnv_…`) that `list` returns.")
                .into()
        })
    }

    /// The platform's id of a group.
    pub(super) fn platform_group(&self, group: &str) -> Result<String, HostError> {
        Ok(self.known_group(group)?.group)
    }

    /// The platform's id of a join request.
    fn platform_request(&self, handle: &str) -> Result<String, Refusal> {
        self.facts.handles.open(Kind::JoinRequest, handle).ok_or_else(|| {
            Refusal::new("bad-id", "This is not an id of a join request.")
                .instead("Use the id of `on-join-request` or `join-requests` (`jr_…`) unchanged.")
        })
    }

    fn members_of(&mut self, group: &str) -> Result<Vec<wit::Contact>, HostError> {
        let conversation = self.known_group(group)?.conversation;
        Ok(self.facts.reader.group_members(conversation)?.iter().map(contact).collect())
    }

    fn requests_of(&mut self, group: &str) -> Result<Vec<JoinRequest>, HostError> {
        let conversation = self.known_group(group)?.conversation;
        let requests = self.facts.reader.join_requests(conversation)?.into_iter().map(|request| JoinRequest {
            request: self.facts.handles.seal(Kind::JoinRequest, &request.request),
            contact: contact(&request.contact),
            asked_at: request.requested_at.as_ms(),
        });
        Ok(requests.collect())
    }

    /// A new group has no conversation yet, so its creation is sent in the channel's own
    /// conversation.
    fn create_group(&mut self, channel: &str, change: GroupChange) -> Result<String, HostError> {
        self.event()?;
        let conversation = self.facts.reader.channel_conversation(channel)?.ok_or_else(|| {
            Refusal::new("unknown-channel", format!("There is no channel `{channel}` in the configuration."))
        })?;
        self.send_in(conversation, Outgoing::Group(change))
    }

    fn change_group(&mut self, group: &str, change: GroupChange) -> Result<String, HostError> {
        self.send_in_group(group, Outgoing::Group(change))
    }

    fn send_in_group(&mut self, group: &str, body: Outgoing) -> Result<String, HostError> {
        let conversation = self.known_group(group)?.conversation;
        self.send_in(conversation, body)
    }

    fn send_in(&mut self, conversation: ConversationId, body: Outgoing) -> Result<String, HostError> {
        let unknown = || Refusal::new("no-conversation", format!("There is no conversation {conversation}."));
        let view = self.facts.reader.conversation(conversation)?.ok_or_else(unknown)?;
        self.send(&view, body, false, SendOptions::default())
    }
}

fn encode(group: PlatformGroup) -> Group {
    Group {
        id: group.conversation.to_string(),
        channel: group.channel,
        subject: group.subject,
        description: group.description,
        invite_link: group.invite_link,
        approval_required: group.approval_required,
        suspended: group.suspended,
        members: group.members,
    }
}
