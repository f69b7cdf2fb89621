//! Messages in both directions, and their states.
//!
//! A ring buffer: the newest messages are kept, older ones are dropped and counted. The messages of
//! a chat are linked backwards, so that marking earlier messages as read and finding the last
//! message with a certain button visit only the messages of that chat.

use crate::groups::GroupNo;
use crate::people::PersonNo;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// The state of a message, by the platform's names. A message from a person is `delivered` when the
/// callback responded with 200, and `read` when the business marked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MessageState {
    Accepted,
    Sent,
    Delivered,
    Read,
    /// A voice message was played.
    Played,
    Failed,
}

impl MessageState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }
}

/// A conversation of the business with one person or in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Chat {
    Person(PersonNo),
    Group(GroupNo),
}

impl Chat {
    /// The lane on which the webhook sender keeps the chat's updates in order.
    pub(crate) fn lane(self) -> usize {
        match self {
            Self::Person(no) => no,
            // After all people, so that a group and a person rarely share a lane.
            Self::Group(no) => (1 << 24) + no,
        }
    }
}

/// A message or a reaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    pub seq: u64,
    pub id: String,
    pub from_business: bool,
    pub chat: Chat,
    /// The person who wrote it; `None` for the business.
    pub author: Option<PersonNo>,
    /// The previous message of the chat.
    pub before: Option<u64>,
    pub kind: String,
    pub at_ms: i64,
    /// The member that `kind` names.
    pub body: Box<RawValue>,
    /// A template with its parameters filled in.
    pub rendered: Option<Value>,
    /// The message that it quotes or answers.
    pub context: Option<String>,
    pub callback_data: Option<String>,
    pub pricing: Option<Pricing>,
    /// The template that the platform derived from a Direct Send message.
    #[serde(default)]
    pub template_id: Option<String>,
    /// In a group, the states that all members have reached.
    pub states: Vec<Step>,
    /// In a group, the state for each member.
    pub audience: Vec<(PersonNo, MessageState)>,
    /// The error code of a failed message.
    pub error: Option<u32>,
    pub error_details: Option<String>,
    /// By author; `None` is the business.
    pub reactions: Vec<(Option<PersonNo>, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub state: MessageState,
    pub at_ms: i64,
}

/// The price of a message, by the platform's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pricing {
    pub category: String,
    pub r#type: String,
    /// False within the free tier and in a free entry point.
    pub billable: bool,
}

impl Message {
    pub(crate) fn state(&self) -> MessageState {
        self.states.last().map_or(MessageState::Accepted, |step| step.state)
    }

    /// The other party; `None` for a message of the business to a group.
    pub(crate) fn person(&self) -> Option<PersonNo> {
        match self.chat {
            Chat::Person(no) => Some(no),
            Chat::Group(_) => self.author,
        }
    }

    /// Sets the reaction of a person or of the business; an empty one removes it.
    pub(crate) fn react(&mut self, author: Option<PersonNo>, emoji: &str) {
        self.reactions.retain(|(other, _)| *other != author);
        if !emoji.is_empty() {
            self.reactions.push((author, emoji.to_owned()));
        }
    }
}

/// Counters since the start or the last reset. They include messages that were dropped.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// Messages from people.
    pub inbound: u64,
    /// Messages of the business that were accepted, and the states that they reached.
    pub accepted: u64,
    pub sent: u64,
    pub delivered: u64,
    pub read: u64,
    pub played: u64,
    pub failed: u64,
    /// Requests to mark a message as read.
    pub marked_read: u64,
    /// Requests to show a typing indicator.
    pub typing: u64,
    /// Refused requests by error code.
    pub refused: BTreeMap<u32, u64>,
    /// Requests that a fault affected.
    pub faults: u64,
    /// Messages that were dropped because of `--max-messages`.
    pub evicted: u64,
}

impl Counts {
    pub(crate) fn reached(&mut self, state: MessageState) {
        let count = match state {
            MessageState::Accepted => &mut self.accepted,
            MessageState::Sent => &mut self.sent,
            MessageState::Delivered => &mut self.delivered,
            MessageState::Read => &mut self.read,
            MessageState::Played => &mut self.played,
            MessageState::Failed => &mut self.failed,
        };
        *count += 1;
    }
}

pub(crate) struct Messages {
    ring: VecDeque<Message>,
    by_id: HashMap<String, u64>,
    /// The newest message of each chat.
    last: HashMap<Chat, u64>,
    next_seq: u64,
    max_messages: usize,
}

impl Messages {
    pub(crate) fn new(max_messages: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            by_id: HashMap::new(),
            last: HashMap::new(),
            next_seq: 1,
            max_messages: max_messages.max(1),
        }
    }

    /// Adds a message. Returns its sequence number, and whether the oldest message was dropped.
    pub(crate) fn push(&mut self, mut message: Message) -> (u64, bool) {
        let seq = self.next_seq;
        self.next_seq += 1;
        message.seq = seq;
        message.before = self.last.insert(message.chat, seq);
        self.by_id.insert(message.id.clone(), seq);
        self.ring.push_back(message);
        let evicted = if self.ring.len() > self.max_messages { self.ring.pop_front() } else { None };
        if let Some(old) = &evicted {
            self.by_id.remove(&old.id);
            if self.last.get(&old.chat) == Some(&old.seq) {
                self.last.remove(&old.chat);
            }
        }
        (seq, evicted.is_some())
    }

    /// All messages and the next sequence number, for a saved state.
    pub(crate) fn snapshot(&self) -> (Vec<Message>, u64) {
        (self.ring.iter().cloned().collect(), self.next_seq)
    }

    /// Replaces all messages by saved ones; if there are too many, the newest are kept.
    pub(crate) fn restore(&mut self, saved: Vec<Message>, next_seq: u64) {
        let max_messages = self.max_messages;
        *self = Self::new(max_messages);
        let excess = saved.len().saturating_sub(max_messages);
        for message in saved.into_iter().skip(excess) {
            self.by_id.insert(message.id.clone(), message.seq);
            self.last.insert(message.chat, message.seq);
            self.ring.push_back(message);
        }
        self.next_seq = next_seq;
    }

    fn position(&self, seq: u64) -> Option<usize> {
        let first = self.ring.front()?.seq;
        usize::try_from(seq.checked_sub(first)?).ok()
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Message> {
        self.ring.get(self.position(seq)?)
    }

    pub(crate) fn get_mut(&mut self, seq: u64) -> Option<&mut Message> {
        let position = self.position(seq)?;
        self.ring.get_mut(position)
    }

    pub(crate) fn find(&self, id: &str) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    /// The messages of a chat, newest first.
    pub(crate) fn of(&self, chat: Chat) -> impl Iterator<Item = &Message> {
        let newest = self.last.get(&chat).and_then(|seq| self.get(*seq));
        std::iter::successors(newest, |message| message.before.and_then(|seq| self.get(seq)))
    }

    /// All messages after `seq`, oldest first.
    pub(crate) fn after(&self, seq: u64) -> impl DoubleEndedIterator<Item = &Message> {
        let from = self.position(seq.saturating_add(1)).unwrap_or(0);
        self.ring.range(from.min(self.ring.len())..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, person: PersonNo) -> Message {
        Message {
            seq: 0,
            id: id.to_owned(),
            from_business: true,
            chat: Chat::Person(person),
            author: None,
            before: None,
            kind: "text".to_owned(),
            at_ms: 0,
            body: RawValue::from_string("{}".to_owned()).unwrap(),
            context: None,
            callback_data: None,
            pricing: None,
            template_id: None,
            rendered: None,
            states: Vec::new(),
            audience: Vec::new(),
            error: None,
            error_details: None,
            reactions: Vec::new(),
        }
    }

    fn ids<'a>(messages: impl Iterator<Item = &'a Message>) -> Vec<&'a str> {
        messages.map(|message| message.id.as_str()).collect()
    }

    #[test]
    fn old_messages_are_dropped_and_links_end_there() {
        let mut messages = Messages::new(3);
        for (id, person) in [("a", 1), ("b", 2), ("c", 1), ("d", 1)] {
            messages.push(message(id, person));
        }
        assert_eq!(ids(messages.of(Chat::Person(1))), ["d", "c"]);
        assert_eq!(ids(messages.of(Chat::Person(2))), ["b"]);
        assert_eq!(ids(messages.after(0)), ["b", "c", "d"]);
        assert_eq!(ids(messages.after(3)), ["d"]);
        assert_eq!(ids(messages.after(9)), Vec::<&str>::new());
        assert_eq!((messages.find("a"), messages.find("d")), (None, Some(4)));
        messages.push(message("e", 1));
        assert_eq!(ids(messages.of(Chat::Person(2))), Vec::<&str>::new());
        let (kept, next) = messages.snapshot();
        let mut again = Messages::new(2);
        again.restore(kept, next);
        assert_eq!(ids(again.of(Chat::Person(1))), ["e", "d"]);
        assert_eq!((again.find("c"), again.push(message("f", 2)).0), (None, 6));
    }
}
