//! The events: a trait each, and what their records can say of themselves.
//!
//! A record here is the very one that crosses the sandbox's wall; nothing is copied into another shape.

use crate::{Choice, Content, Disposition, Failure, Media, MessageId, Refusal, bindings, message::Message};

pub use bindings::on_channel_changed::exports::beadle::plugin::on_channel_changed::Event as ChannelChangedEvent;
pub use bindings::on_contact_changed::exports::beadle::plugin::on_contact_changed::Event as ContactChangedEvent;
pub use bindings::on_documents_changed::exports::beadle::plugin::on_documents_changed::Event as DocumentsChangedEvent;
pub use bindings::on_echo::exports::beadle::plugin::on_echo::Event as EchoEvent;
pub use bindings::on_group_changed::exports::beadle::plugin::on_group_changed::Event as GroupChangedEvent;
pub use bindings::on_join_request::exports::beadle::plugin::on_join_request::Event as JoinRequestEvent;
pub use bindings::on_member_joined::exports::beadle::plugin::on_member_joined::Event as MemberJoinedEvent;
pub use bindings::on_member_left::exports::beadle::plugin::on_member_left::Event as MemberLeftEvent;
pub use bindings::on_message::exports::beadle::plugin::on_message::Event as MessageEvent;
pub use bindings::on_message_status::exports::beadle::plugin::on_message_status::{
    Event as MessageStatusEvent, Pricing, Problem,
};
pub use bindings::on_reaction::exports::beadle::plugin::on_reaction::Event as ReactionEvent;
pub use bindings::on_schedule::exports::beadle::plugin::on_schedule::Event as ScheduleEvent;
pub use bindings::on_timer::exports::beadle::plugin::on_timer::Event as TimerEvent;
pub use bindings::on_window_closed::exports::beadle::plugin::on_window_closed::Event as WindowClosedEvent;
pub use bindings::on_window_expiring::exports::beadle::plugin::on_window_expiring::Event as WindowExpiringEvent;

/// A person wrote: text, a tapped button or list row, media, …
pub trait OnMessage {
    /// One message, whole.
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure>;
}

/// A person reacted to a message, or took a reaction back.
pub trait OnReaction {
    /// One reaction.
    fn on_reaction(&self, event: ReactionEvent) -> Result<Disposition, Failure>;
}

/// Someone joined. Where a channel has no groups a contact joins with the first message, or again with START or JOIN.
pub trait OnMemberJoined {
    /// One member; `event.again` tells whether they had left before.
    fn on_member_joined(&self, event: MemberJoinedEvent) -> Result<Disposition, Failure>;
}

/// Someone left: said STOP or LEAVE, left a group, or was removed.
pub trait OnMemberLeft {
    /// One member. Whoever said STOP may not be written to.
    fn on_member_left(&self, event: MemberLeftEvent) -> Result<Disposition, Failure>;
}

/// A timer that this plugin set with [`timers`](crate::timers) is due.
pub trait OnTimer {
    /// One timer; it is gone now.
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure>;
}

/// A `[[schedule]]` entry of the operator fires for this plugin.
pub trait OnSchedule {
    /// One planned moment; each comes once.
    fn on_schedule(&self, event: ScheduleEvent) -> Result<Disposition, Failure>;
}

/// A conversation's 24-hour window is about to close.
pub trait OnWindowExpiring {
    /// Once per window and configured lead time.
    fn on_window_expiring(&self, event: WindowExpiringEvent) -> Result<Disposition, Failure>;
}

/// A conversation's 24-hour window has closed.
pub trait OnWindowClosed {
    /// Once per window.
    fn on_window_closed(&self, event: WindowClosedEvent) -> Result<Disposition, Failure>;
}

/// The plugin's folder of [`documents`](crate::documents) changed.
pub trait OnDocumentsChanged {
    /// What is new, different or gone.
    fn on_documents_changed(&self, event: DocumentsChangedEvent) -> Result<Disposition, Failure>;
}

/// What became of a message that this plugin sent.
pub trait OnMessageStatus {
    /// One step: `sent`, `delivered`, `read`, `played`, `failed`, …
    fn on_message_status(&self, event: MessageStatusEvent) -> Result<Disposition, Failure>;
}

/// Someone asks to come into a group, or does so no longer.
pub trait OnJoinRequest {
    /// One request; [`groups::answer`](crate::groups::answer) answers it.
    fn on_join_request(&self, event: JoinRequestEvent) -> Result<Disposition, Failure>;
}

/// The number's quality, limits, restrictions or templates changed.
pub trait OnChannelChanged {
    /// One piece of news.
    fn on_channel_changed(&self, event: ChannelChangedEvent) -> Result<Disposition, Failure>;
}

/// A contact was created or renamed, got another number or id, or wants no marketing.
pub trait OnContactChanged {
    /// One change; `event.contact` is as they are now.
    fn on_contact_changed(&self, event: ContactChangedEvent) -> Result<Disposition, Failure>;
}

/// A group was made, changed, suspended or deleted, or what was asked about one is answered.
pub trait OnGroupChanged {
    /// One change; `event.asked` is what a function of [`groups`](crate::groups) returned.
    fn on_group_changed(&self, event: GroupChangedEvent) -> Result<Disposition, Failure>;
}

/// A colleague wrote to someone from the telephone that has the number too.
pub trait OnEcho {
    /// One message of theirs.
    fn on_echo(&self, event: EchoEvent) -> Result<Disposition, Failure>;
}

impl MessageEvent {
    /// What the person wrote, where it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What the person tapped: a reply button, a list row or a template's button.
    pub fn choice(&self) -> Option<&Choice> {
        match &self.content {
            Content::Button(choice) | Content::ListRow(choice) | Content::TemplateButton(choice) => Some(choice),
            _ => None,
        }
    }

    /// The file that came with it.
    pub fn media(&self) -> Option<&Media> {
        match &self.content {
            Content::Image(media)
            | Content::Video(media)
            | Content::Audio(media)
            | Content::Document(media)
            | Content::Sticker(media) => Some(media),
            _ => None,
        }
    }

    /// Whether the message is one of these words and nothing else, however it is capitalised or punctuated: `Rules!` is
    /// `rules`. Give the words in lower case.
    pub fn is_word(&self, words: &[&str]) -> bool {
        let Some(text) = self.text() else { return false };
        // A command is short; a novel is not worth folding.
        if text.len() > 64 {
            return false;
        }
        let said = text.trim_matches(|c: char| !c.is_alphanumeric());
        words.iter().any(|word| said.chars().flat_map(char::to_lowercase).eq(word.chars()))
    }

    /// Answers in the conversation of this message. The same as [`replies::send`](crate::replies::send).
    pub fn reply(&self, message: impl Message) -> Result<MessageId, Refusal> {
        message.reply()
    }
}
