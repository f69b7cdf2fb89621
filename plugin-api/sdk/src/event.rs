//! Events: one trait each, and methods of their records.

use crate::message::Message;
use crate::records::{
    ChannelChangedEvent, ConsentChangedEvent, ContactChangedEvent, DocumentsChangedEvent, EchoEvent, GroupChangedEvent,
    JoinRequestEvent, MemberJoinedEvent, MemberLeftEvent, MessageEvent, MessageStatusEvent, ReactionEvent,
    ResponseEvent, ScheduleEvent, TimerEvent, WebhookEvent, WindowClosedEvent, WindowExpiringEvent,
};
use crate::types::{Choice, Content, Disposition, Failure, Media, MessageId, Refusal};

/// A person sent a message: text, a tapped button or list row, media, …
pub trait OnMessage {
    /// Handles one message.
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure>;
}

/// A person reacted to a message, or removed a reaction.
pub trait OnReaction {
    /// Handles one reaction.
    fn on_reaction(&self, event: ReactionEvent) -> Result<Disposition, Failure>;
}

/// Someone joined the community or a group. On a channel without groups a contact joins with the
/// first message, and rejoins with START or JOIN.
pub trait OnMemberJoined {
    /// Handles one member. `event.rejoined`: they had been a member before.
    fn on_member_joined(&self, event: MemberJoinedEvent) -> Result<Disposition, Failure>;
}

/// Someone left: by STOP or LEAVE, by leaving a group, or because they were removed.
pub trait OnMemberLeft {
    /// Handles one member. After STOP no messages can be sent to them.
    fn on_member_left(&self, event: MemberLeftEvent) -> Result<Disposition, Failure>;
}

/// A timer that this plugin set with [`timers`](crate::timers) is due.
pub trait OnTimer {
    /// Handles one timer, which no longer exists.
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure>;
}

/// A `[[schedule]]` entry for this plugin fires.
pub trait OnSchedule {
    /// Handles one planned time. Each is delivered once.
    fn on_schedule(&self, event: ScheduleEvent) -> Result<Disposition, Failure>;
}

/// A conversation's 24-hour window is about to close.
pub trait OnWindowExpiring {
    /// Handles one window. Delivered once per window and configured lead time.
    fn on_window_expiring(&self, event: WindowExpiringEvent) -> Result<Disposition, Failure>;
}

/// A conversation's 24-hour window has closed.
pub trait OnWindowClosed {
    /// Handles one window. Delivered once per window.
    fn on_window_closed(&self, event: WindowClosedEvent) -> Result<Disposition, Failure>;
}

/// The plugin's folder of [`documents`](crate::documents) changed.
pub trait OnDocumentsChanged {
    /// Handles one change.
    fn on_documents_changed(&self, event: DocumentsChangedEvent) -> Result<Disposition, Failure>;
}

/// Another program called a hook of the plugin.
pub trait OnWebhook {
    /// Handles one request. It was answered with 200 already, so a failure is retried by Beadle.
    fn on_webhook(&self, event: WebhookEvent) -> Result<Disposition, Failure>;
}

/// A durable request of the plugin ([`requests`](crate::requests)) was answered or given up.
pub trait OnResponse {
    /// Handles one outcome.
    fn on_response(&self, event: ResponseEvent) -> Result<Disposition, Failure>;
}

/// The status of a message that this plugin sent.
pub trait OnMessageStatus {
    /// Handles one status: `sent`, `delivered`, `read`, `played`, `failed`, …
    fn on_message_status(&self, event: MessageStatusEvent) -> Result<Disposition, Failure>;
}

/// Someone asks to join a group, or withdraws the request.
pub trait OnJoinRequest {
    /// Handles one request. Answer it with [`groups::answer`](crate::groups::answer).
    fn on_join_request(&self, event: JoinRequestEvent) -> Result<Disposition, Failure>;
}

/// A notification: the quality, limits, restrictions or templates of a number changed.
pub trait OnChannelChanged {
    /// Handles one notification.
    fn on_channel_changed(&self, event: ChannelChangedEvent) -> Result<Disposition, Failure>;
}

/// A notification: a contact was created, renamed, edited or merged, changed their number or id, or
/// changed their marketing preference.
pub trait OnContactChanged {
    /// Handles one notification. `event.contact` is the contact after the change.
    fn on_contact_changed(&self, event: ContactChangedEvent) -> Result<Disposition, Failure>;
}

/// A notification: a person's consent changed, by a word, a button, the platform's preference, a
/// plugin or the operator.
pub trait OnConsentChanged {
    /// Handles one notification. `event.contact` is the contact after the change.
    fn on_consent_changed(&self, event: ConsentChangedEvent) -> Result<Disposition, Failure>;
}

/// A notification: a group was created, changed, suspended or deleted, or a request about a group
/// was answered.
pub trait OnGroupChanged {
    /// Handles one notification. `event.request` is the id that a function of
    /// [`groups`](crate::groups) returned.
    fn on_group_changed(&self, event: GroupChangedEvent) -> Result<Disposition, Failure>;
}

/// A notification: a colleague sent a message from the phone that shares the number.
pub trait OnEcho {
    /// Handles one message.
    fn on_echo(&self, event: EchoEvent) -> Result<Disposition, Failure>;
}

impl MessageEvent {
    /// The text, if the message is text.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The tapped reply button, list row or template button.
    pub fn choice(&self) -> Option<&Choice> {
        match &self.content {
            Content::Button(choice) | Content::ListRow(choice) | Content::TemplateButton(choice) => Some(choice),
            _ => None,
        }
    }

    /// The file that came with the message.
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

    /// Whether the whole message is one of these words, regardless of capitalisation and
    /// surrounding punctuation: `Rules!` is `rules`. The words must be in lower case.
    pub fn is_word(&self, words: &[&str]) -> bool {
        let Some(text) = self.text() else { return false };
        // A command is short.
        if text.len() > 64 {
            return false;
        }
        let word = text.trim_matches(|c: char| !c.is_alphanumeric());
        words.iter().any(|known| word.chars().flat_map(char::to_lowercase).eq(known.chars()))
    }

    /// Replies in the conversation of this message. The same as
    /// [`replies::send`](crate::replies::send).
    pub fn reply(&self, message: impl Message) -> Result<MessageId, Refusal> {
        message.reply()
    }
}
