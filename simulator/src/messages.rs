//! What was said, both ways, and how far it got.
//!
//! A ring: the newest messages are kept, older ones are forgotten and counted. Messages of one chat are linked
//! backwards, so that "everything before this was read too" and "the last message with such a button" walk through that
//! chat's own messages and not through a crowd's.

use crate::groups::GroupNo;
use crate::people::PersonNo;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// How far a message got, in the platform's words. One from a person is `delivered` when the callback answered 200 and
/// `read` when the business marked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Accepted,
    Sent,
    Delivered,
    Read,
    /// A voice message that was heard.
    Played,
    Failed,
}

impl State {
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

/// Where a message stands: between the business and one person, or in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Chat {
    Person(PersonNo),
    Group(GroupNo),
}

impl Chat {
    /// What the courier keeps in order.
    pub(crate) fn lane(self) -> usize {
        match self {
            Self::Person(no) => no,
            // Behind all people, so that a group and a person share a lane only by chance.
            Self::Group(no) => (1 << 24) + no,
        }
    }
}

/// A message, a reaction too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    pub seq: u64,
    pub id: String,
    pub from_business: bool,
    pub chat: Chat,
    /// The person who wrote it; none where the business did.
    pub author: Option<PersonNo>,
    /// The chat's message before this one, either way.
    pub before: Option<u64>,
    pub kind: String,
    pub at_ms: i64,
    /// What lies under the key that `kind` names.
    pub body: Box<RawValue>,
    /// A template as its reader sees it.
    pub rendered: Option<Value>,
    /// The message it quotes or answers.
    pub context: Option<String>,
    pub callback_data: Option<String>,
    pub pricing: Option<Pricing>,
    /// What the platform made of a message by Direct Send.
    #[serde(default)]
    pub template_id: Option<String>,
    /// In a group: the furthest state that all have reached.
    pub states: Vec<Step>,
    /// In a group: how far it got with each.
    pub audience: Vec<(PersonNo, State)>,
    /// The platform's code where it failed, and what it said of it.
    pub error: Option<u32>,
    pub error_details: Option<String>,
    /// Each person's, and the business's (none).
    pub reactions: Vec<(Option<PersonNo>, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub state: State,
    pub at_ms: i64,
}

/// What the bill says, in the platform's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pricing {
    pub category: String,
    pub r#type: String,
    /// False inside the month's free tier and a free entry point.
    pub billable: bool,
}

impl Message {
    pub(crate) fn state(&self) -> State {
        self.states.last().map_or(State::Accepted, |step| step.state)
    }

    /// The person at the other end, where it is not a message of the business to a group.
    pub(crate) fn person(&self) -> Option<PersonNo> {
        match self.chat {
            Chat::Person(no) => Some(no),
            Chat::Group(_) => self.author,
        }
    }

    pub(crate) fn react(&mut self, who: Option<PersonNo>, emoji: &str) {
        self.reactions.retain(|(by, _)| *by != who);
        if !emoji.is_empty() {
            self.reactions.push((who, emoji.to_owned()));
        }
    }
}

/// How many of what there were since the start or the last reset, forgotten ones included.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// Messages of people.
    pub said: u64,
    /// Messages of the business that were accepted, and the states they reached.
    pub accepted: u64,
    pub sent: u64,
    pub delivered: u64,
    pub read: u64,
    pub played: u64,
    pub failed: u64,
    /// Requests to mark as read, and to show typing.
    pub marked_read: u64,
    pub typing: u64,
    /// Requests that were refused, by the platform's code.
    pub refused: BTreeMap<u32, u64>,
    /// Requests that a fault hit.
    pub faults: u64,
    /// Messages that are no longer kept.
    pub forgotten: u64,
}

impl Counts {
    pub(crate) fn reached(&mut self, state: State) {
        let count = match state {
            State::Accepted => &mut self.accepted,
            State::Sent => &mut self.sent,
            State::Delivered => &mut self.delivered,
            State::Read => &mut self.read,
            State::Played => &mut self.played,
            State::Failed => &mut self.failed,
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
    most: usize,
}

impl Messages {
    pub(crate) fn new(most: usize) -> Self {
        Self { ring: VecDeque::new(), by_id: HashMap::new(), last: HashMap::new(), next_seq: 1, most: most.max(1) }
    }

    /// Keeps a message; gives its number, and whether an old one was forgotten for it.
    pub(crate) fn push(&mut self, mut message: Message) -> (u64, bool) {
        let seq = self.next_seq;
        self.next_seq += 1;
        message.seq = seq;
        message.before = self.last.insert(message.chat, seq);
        self.by_id.insert(message.id.clone(), seq);
        self.ring.push_back(message);
        let forgotten = if self.ring.len() > self.most { self.ring.pop_front() } else { None };
        if let Some(old) = &forgotten {
            self.by_id.remove(&old.id);
            if self.last.get(&old.chat) == Some(&old.seq) {
                self.last.remove(&old.chat);
            }
        }
        (seq, forgotten.is_some())
    }

    /// All that are kept, and the next number: to be saved.
    pub(crate) fn kept(&self) -> (Vec<Message>, u64) {
        (self.ring.iter().cloned().collect(), self.next_seq)
    }

    /// Puts saved ones in the place of all; of more than are kept, the newest.
    pub(crate) fn restore(&mut self, saved: Vec<Message>, next_seq: u64) {
        let most = self.most;
        *self = Self::new(most);
        let over = saved.len().saturating_sub(most);
        for message in saved.into_iter().skip(over) {
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

    /// A chat's messages, the newest first.
    pub(crate) fn of(&self, chat: Chat) -> impl Iterator<Item = &Message> {
        let newest = self.last.get(&chat).and_then(|seq| self.get(*seq));
        std::iter::successors(newest, |message| message.before.and_then(|seq| self.get(seq)))
    }

    /// Everything after `seq`, the oldest first.
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
    fn old_messages_are_forgotten_and_the_links_end_there() {
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
        let (kept, next) = messages.kept();
        let mut again = Messages::new(2);
        again.restore(kept, next);
        assert_eq!(ids(again.of(Chat::Person(1))), ["e", "d"]);
        assert_eq!((again.find("c"), again.push(message("f", 2)).0), (None, 6));
    }
}
