//! Logs every event of the platform as the contract delivers it, and answers one text so that there
//! is a message with a status. Scenarios read the log. Not installed anywhere.

use beadle_plugin::prelude::*;

#[derive(Default)]
struct Witness;

/// Logs an event.
fn saw(event: &str, fields: impl std::fmt::Debug) -> Result<Disposition, Failure> {
    log::info(format!("saw {event} {fields:?}"));
    Ok(Disposition::Pass)
}

impl OnMessage for Witness {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        if event.text() == Some("answer me") {
            event.reply("here I am")?;
        }
        saw("message", (&event.content, &event.context, &event.referral))
    }
}

impl OnReaction for Witness {
    fn on_reaction(&self, event: ReactionEvent) -> Result<Disposition, Failure> {
        saw("reaction", (event.own_message.is_some(), event.emoji.is_some()))
    }
}

impl OnMemberJoined for Witness {
    fn on_member_joined(&self, event: MemberJoinedEvent) -> Result<Disposition, Failure> {
        saw("joined", (event.reason, event.rejoined))
    }
}

impl OnMemberLeft for Witness {
    fn on_member_left(&self, event: MemberLeftEvent) -> Result<Disposition, Failure> {
        saw("left", event.reason)
    }
}

impl OnJoinRequest for Witness {
    fn on_join_request(&self, event: JoinRequestEvent) -> Result<Disposition, Failure> {
        saw("join request", (event.requester.name, event.revoked))
    }
}

impl OnMessageStatus for Witness {
    fn on_message_status(&self, event: MessageStatusEvent) -> Result<Disposition, Failure> {
        saw(
            "status",
            (event.status, event.pricing.map(|pricing| pricing.category), event.problem.map(|problem| problem.code)),
        )
    }
}

impl OnChannelChanged for Witness {
    fn on_channel_changed(&self, event: ChannelChangedEvent) -> Result<Disposition, Failure> {
        saw("channel", (event.channel, event.change, event.state, event.subject))
    }
}

impl OnContactChanged for Witness {
    fn on_contact_changed(&self, event: ContactChangedEvent) -> Result<Disposition, Failure> {
        saw("contact", (event.change, event.contact.name))
    }
}

impl OnGroupChanged for Witness {
    fn on_group_changed(&self, event: GroupChangedEvent) -> Result<Disposition, Failure> {
        saw("group", event.change)
    }
}

impl OnEcho for Witness {
    fn on_echo(&self, event: EchoEvent) -> Result<Disposition, Failure> {
        saw("echo", event.content)
    }
}

plugin!(
    Witness: OnMessage, OnReaction, OnMemberJoined, OnMemberLeft, OnJoinRequest, OnMessageStatus, OnChannelChanged, OnContactChanged,
    OnGroupChanged, OnEcho
);
