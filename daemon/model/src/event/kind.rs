//! The kinds of events: the event interfaces of the plugin contract.

use serde::{Deserialize, Serialize};

/// The kind of an event. The store keeps the numbers: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum EventKind {
    /// `on-message`
    Message = 1,
    /// `on-reaction`
    Reaction = 2,
    /// `on-member-joined`
    MemberJoined = 3,
    /// `on-member-left`
    MemberLeft = 4,
    /// `on-timer`
    Timer = 5,
    /// `on-message-status`
    MessageStatus = 6,
    /// A webhook that no plugin can subscribe to; kept with its JSON and counted.
    Unrouted = 7,
    /// `on-schedule`
    Schedule = 8,
    /// `on-window-expiring`
    WindowExpiring = 9,
    /// `on-window-closed`
    WindowClosed = 10,
    /// `on-documents-changed`
    DocumentsChanged = 11,
    /// `on-join-request`
    JoinRequest = 20,
    /// `on-channel-changed`
    ChannelChanged = 21,
    /// `on-contact-changed`
    ContactChanged = 22,
    /// `on-group-changed`
    GroupChanged = 23,
    /// `on-echo`
    Echo = 24,
    /// `on-consent-changed`
    ConsentChanged = 25,
    /// `privacy`: a person is being erased.
    EraseContact = 26,
    /// `on-webhook`
    Webhook = 27,
    /// `on-response`
    Response = 28,
}

impl EventKind {
    /// Whether membership or members' time zones may differ after such an event.
    pub fn changes_membership(self) -> bool {
        matches!(self, EventKind::MemberJoined | EventKind::MemberLeft | EventKind::ContactChanged)
    }

    /// All kinds, in the order of their numbers.
    pub const ALL: [EventKind; 20] = [
        EventKind::Message,
        EventKind::Reaction,
        EventKind::MemberJoined,
        EventKind::MemberLeft,
        EventKind::Timer,
        EventKind::MessageStatus,
        EventKind::Unrouted,
        EventKind::Schedule,
        EventKind::WindowExpiring,
        EventKind::WindowClosed,
        EventKind::DocumentsChanged,
        EventKind::JoinRequest,
        EventKind::ChannelChanged,
        EventKind::ContactChanged,
        EventKind::GroupChanged,
        EventKind::Echo,
        EventKind::ConsentChanged,
        EventKind::EraseContact,
        EventKind::Webhook,
        EventKind::Response,
    ];

    /// The contract's interface that a plugin exports to receive it; `None` for
    /// [`EventKind::Unrouted`].
    pub fn interface(self) -> Option<&'static str> {
        Some(match self {
            EventKind::Message => "on-message",
            EventKind::Reaction => "on-reaction",
            EventKind::MemberJoined => "on-member-joined",
            EventKind::MemberLeft => "on-member-left",
            EventKind::Timer => "on-timer",
            EventKind::MessageStatus => "on-message-status",
            EventKind::Schedule => "on-schedule",
            EventKind::WindowExpiring => "on-window-expiring",
            EventKind::WindowClosed => "on-window-closed",
            EventKind::DocumentsChanged => "on-documents-changed",
            EventKind::JoinRequest => "on-join-request",
            EventKind::ChannelChanged => "on-channel-changed",
            EventKind::ContactChanged => "on-contact-changed",
            EventKind::GroupChanged => "on-group-changed",
            EventKind::Echo => "on-echo",
            EventKind::ConsentChanged => "on-consent-changed",
            EventKind::EraseContact => "privacy",
            EventKind::Webhook => "on-webhook",
            EventKind::Response => "on-response",
            EventKind::Unrouted => return None,
        })
    }

    /// The name for people and JSON: `message`, `member-joined`, …
    pub fn name(self) -> &'static str {
        // The interface has another function besides the one for this event.
        if self == EventKind::EraseContact {
            return "erase-contact";
        }
        self.interface().map_or("unrouted", |interface| interface.trim_start_matches("on-"))
    }

    /// The kind with this number in the store.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i64 == number)
    }

    /// Whether the event passes guards, then answerers until one claims it, then observers. Others
    /// go to one plugin, or are notifications.
    pub fn is_staged(self) -> bool {
        !matches!(
            self,
            EventKind::Timer
                | EventKind::MessageStatus
                | EventKind::Unrouted
                | EventKind::Schedule
                | EventKind::DocumentsChanged
                | EventKind::Webhook
                | EventKind::Response
        ) && !self.is_notification()
    }

    /// Whether the event goes to every subscriber in any stage and cannot be claimed.
    pub fn is_notification(self) -> bool {
        matches!(
            self,
            EventKind::ChannelChanged
                | EventKind::ContactChanged
                | EventKind::ConsentChanged
                | EventKind::EraseContact
                | EventKind::GroupChanged
                | EventKind::Echo
        )
    }
}
