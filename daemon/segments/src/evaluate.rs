//! Whether a test holds for a person. It cannot fail, and takes a step for each part of the
//! expression.
//!
//! A missing value equals nothing and is neither before nor after anything: a comparison with it is
//! false, and the negation of that comparison true. So `!(a == b)` and `a != b` are always the
//! same.

use crate::expression::{
    Affix, Base, Comparison, Definitions, Field, Flag, Kind, Ordered, SetField, Test, TextField, TimeField,
};
use beadle_model::profile::AttributeValue;
use beadle_model::{ConversationId, Timestamp};
use beadle_store::{ListId, PersonFacts};
use std::collections::BTreeMap;

/// The values that tests use, except those of the person.
#[derive(Clone, Debug)]
pub struct EvaluationContext {
    pub now: Timestamp,
    /// Days since 1970.
    pub today: i64,
    /// The lists that expressions name.
    pub lists: BTreeMap<String, ListId>,
    /// The groups that expressions name by subject or id.
    pub groups: BTreeMap<String, Vec<ConversationId>>,
}

/// Decides whether tests hold for people.
pub struct Evaluator<'a> {
    pub definitions: &'a Definitions,
    pub context: &'a EvaluationContext,
}

impl Evaluator<'_> {
    /// Whether the test holds.
    pub fn holds(&self, test: &Test, person: &PersonFacts) -> bool {
        match &test.kind {
            Kind::All(parts) => parts.iter().all(|part| self.holds(part, person)),
            Kind::Any(parts) => parts.iter().any(|part| self.holds(part, person)),
            Kind::Not(part) => !self.holds(part, person),
            Kind::Same(one, other) => self.holds(one, person) == self.holds(other, person),
            Kind::Constant(value) => *value,
            Kind::Flag(flag) => self.flag(*flag, person),
            Kind::Is(name, value) => attribute(person, name) == Some(&AttributeValue::Boolean(*value)),
            Kind::Consent(purpose, state) => person.contact.consent_for(purpose).state == *state,
            Kind::OneOf(field, texts) => {
                text(field, person).is_some_and(|found| texts.iter().any(|text| text == found))
            }
            Kind::Affix(field, affix, part) => text(field, person).is_some_and(|found| match affix {
                Affix::Prefix => found.starts_with(part.as_str()),
                Affix::Suffix => found.ends_with(part.as_str()),
                Affix::Anywhere => found.contains(part.as_str()),
            }),
            Kind::Compare(one, comparison, other) => {
                let (Some(one), Some(other)) = (self.value(one, person), self.value(other, person)) else {
                    return false;
                };
                match comparison {
                    // Equal bit by bit in the usual cases; numbers come from JSON, so that none is
                    // NaN.
                    Comparison::Equal => (one - other).abs() < f64::EPSILON,
                    Comparison::Less => one < other,
                    Comparison::LessOrEqual => one <= other,
                    Comparison::Greater => one > other,
                    Comparison::GreaterOrEqual => one >= other,
                }
            }
            Kind::IsSet(field) => match field {
                Field::Text(field) => text(field, person).is_some(),
                Field::Time(field) => time(*field, person).is_some(),
                Field::Attribute(name) => attribute(person, name).is_some(),
            },
            Kind::Contains(field, item) => self.contains(field, item, person),
            Kind::InSegment(name) => {
                self.definitions.get(name).is_some_and(|segment| self.holds(&segment.test, person))
            }
            Kind::OnList(name) => self.context.lists.get(name).is_some_and(|list| person.lists.contains(list)),
        }
    }

    fn flag(&self, flag: Flag, person: &PersonFacts) -> bool {
        let contact = &person.contact;
        match flag {
            Flag::Member => contact.member_since.is_some(),
            Flag::OptedOut => contact.opted_out_since.is_some(),
            Flag::Quarantined => contact.profile().quarantined_since.is_some(),
            Flag::MarketingStopped => contact.marketing_stopped_since.is_some(),
            Flag::WindowOpen => self.open_windows(person).next().is_some(),
        }
    }

    /// The channels on which the person's window is open.
    pub fn open_windows<'p>(&self, person: &'p PersonFacts) -> impl Iterator<Item = &'p str> {
        let now = self.context.now;
        let open = person
            .conversations
            .iter()
            .filter(move |conversation| conversation.window_until.is_some_and(|until| now < until));
        open.map(|conversation| &*conversation.channel)
    }

    fn contains(&self, field: &SetField, item: &str, person: &PersonFacts) -> bool {
        match field {
            SetField::Tags => person.contact.profile().tags.contains(item),
            SetField::Channels => person.conversations.iter().any(|conversation| &*conversation.channel == item),
            SetField::OpenWindows => self.open_windows(person).any(|channel| channel == item),
            SetField::Groups => {
                let wanted = self.context.groups.get(item);
                wanted.is_some_and(|wanted| wanted.iter().any(|group| person.groups.contains(group)))
            }
            SetField::Attribute(name) => match attribute(person, name) {
                Some(AttributeValue::Choices(choices)) => choices.contains(item),
                _ => false,
            },
        }
    }

    /// A value with an order: a number, milliseconds, or days.
    pub fn value(&self, ordered: &Ordered, person: &PersonFacts) -> Option<f64> {
        let base = match &ordered.base {
            Base::Number(number) => *number,
            Base::NumberAttribute(name) => match attribute(person, name) {
                Some(AttributeValue::Number(number)) => number.as_f64()?,
                _ => return None,
            },
            Base::Now => self.context.now.as_ms() as f64,
            Base::At(ms) => *ms as f64,
            Base::Time(field) => time(*field, person)?.as_ms() as f64,
            Base::Today => self.context.today as f64,
            Base::Day(days) => *days as f64,
            Base::DateAttribute(name) => match attribute(person, name) {
                Some(AttributeValue::Text(text)) => crate::compile::day(text)? as f64,
                _ => return None,
            },
        };
        Some(base + ordered.offset as f64)
    }
}

pub fn attribute<'p>(person: &'p PersonFacts, name: &str) -> Option<&'p AttributeValue> {
    person.contact.profile().attributes.get(name)
}

pub fn text<'p>(field: &TextField, person: &'p PersonFacts) -> Option<&'p str> {
    let contact = &person.contact;
    match field {
        TextField::Name => contact.name.as_deref(),
        TextField::Language => contact.language.as_deref(),
        TextField::Zone => contact.timezone.as_deref(),
        TextField::Country => person.country.as_deref(),
        TextField::Role => Some(contact.profile().role.name()),
        TextField::Attribute(name) => match attribute(person, name) {
            Some(AttributeValue::Text(text)) => Some(text),
            _ => None,
        },
    }
}

pub fn time(field: TimeField, person: &PersonFacts) -> Option<Timestamp> {
    match field {
        TimeField::Joined => person.contact.member_since,
        TimeField::Created => Some(person.contact.created_at),
        TimeField::LastInbound => {
            person.conversations.iter().filter_map(|conversation| conversation.last_inbound_at).max()
        }
    }
}
