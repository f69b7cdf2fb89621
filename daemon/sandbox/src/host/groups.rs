//! `groups`: a mirror to read, and changes as effects. A change is a row of the outbox, so that it is durable and sent once.

use super::{Answer, HostState, No, answer, bad_id};
use crate::abi::latest::groups::{Group, Host, JoinRequest};
use crate::abi::latest::{self, types as wit};
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
        answer(self.find(&group).map(|found| found.map(told)))
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
        answer(self.change_group(&group, GroupChange::Answer { requests, approve }))
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
        answer(self.in_group(&group, Outgoing::Pin { message, days: Some(days) }))
    }

    async fn unpin(&mut self, group: String, message: String) -> Answer<String> {
        self.enter()?;
        answer(self.in_group(&group, Outgoing::Pin { message, days: None }))
    }
}

impl HostState {
    fn all_groups(&mut self, channel: Option<&str>) -> Result<Vec<Group>, No> {
        self.event()?;
        Ok(self.facts.reader.groups(channel)?.into_iter().map(told).collect())
    }

    fn find(&mut self, group: &str) -> Result<Option<PlatformGroup>, No> {
        self.event()?;
        Ok(self.facts.reader.group(group)?)
    }

    fn known(&mut self, group: &str) -> Result<PlatformGroup, No> {
        self.find(group)?.ok_or_else(|| {
            Refusal::new("unknown-group", format!("No group `{group}` is known, or it was deleted."))
                .instead("Groups have the platform's ids; `list` tells them.")
                .into()
        })
    }

    fn members_of(&mut self, group: &str) -> Result<Vec<wit::Contact>, No> {
        let conversation = self.known(group)?.conversation;
        Ok(self.facts.reader.group_members(conversation)?.iter().map(latest::contact).collect())
    }

    fn requests_of(&mut self, group: &str) -> Result<Vec<JoinRequest>, No> {
        let conversation = self.known(group)?.conversation;
        let requests = self.facts.reader.join_requests(conversation)?.into_iter().map(|asked| JoinRequest {
            request: asked.request,
            contact: latest::contact(&asked.contact),
            asked_at: asked.requested_at.as_ms(),
        });
        Ok(requests.collect())
    }

    /// A group to be is asked for in the channel's own conversation, which is with nobody.
    fn create_group(&mut self, channel: &str, change: GroupChange) -> Result<String, No> {
        self.event()?;
        let conversation = self.facts.reader.channel_conversation(channel)?.ok_or_else(|| {
            Refusal::new("unknown-channel", format!("There is no channel `{channel}` in the configuration."))
        })?;
        self.send_in(conversation, Outgoing::Group(change))
    }

    fn change_group(&mut self, group: &str, change: GroupChange) -> Result<String, No> {
        self.in_group(group, Outgoing::Group(change))
    }

    fn in_group(&mut self, group: &str, body: Outgoing) -> Result<String, No> {
        let conversation = self.known(group)?.conversation;
        self.send_in(conversation, body)
    }

    fn send_in(&mut self, conversation: ConversationId, body: Outgoing) -> Result<String, No> {
        let unknown = || Refusal::new("no-conversation", format!("There is no conversation {conversation}."));
        let view = self.facts.reader.conversation(conversation)?.ok_or_else(unknown)?;
        self.send(&view, body, false)
    }
}

fn told(group: PlatformGroup) -> Group {
    Group {
        id: group.group,
        conversation: group.conversation.to_string(),
        channel: group.channel,
        subject: group.subject,
        description: group.description,
        invite_link: group.invite_link,
        approval_required: group.approval_required,
        suspended: group.suspended,
        members: group.members,
    }
}
