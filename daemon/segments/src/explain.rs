//! Why a person belongs to a segment or not: each part of the expression, whether it holds, and the
//! person's values that decided it. No phone number is among them.

use crate::evaluate::{Evaluator, attribute, text, time};
use crate::expression::{Base, Field, Flag, Kind, Ordered, Segment, SetField, Test, TextField, TimeField};
use beadle_model::profile::AttributeValue;
use beadle_model::{ContactId, Timestamp};
use beadle_store::PersonFacts;

/// Why a person belongs to a segment or list, or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The person; the current contact, if the request named a merged one.
    pub contact: ContactId,
    /// The name of the person on the platform.
    pub name: Option<String>,
    /// Whether the person belongs to it.
    pub is_member: bool,
    /// The parts of the expression.
    pub reason: Part,
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As the operator wrote it; `all of` and the like for parts that join others.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// The values that decide it: the name, and the value or `not set`.
    pub values: Vec<(String, String)>,
    /// The parts that it consists of.
    pub parts: Vec<Part>,
}

impl Evaluator<'_> {
    /// Why a segment's test holds or not.
    pub fn explain(&self, segment: &Segment, person: &PersonFacts) -> Part {
        self.part(&segment.test, &segment.source, person)
    }

    fn part(&self, test: &Test, source: &str, person: &PersonFacts) -> Part {
        let written = source.get(test.span.clone()).unwrap_or(source);
        let written = || written.split_whitespace().collect::<Vec<_>>().join(" ");
        let inner = |parts: &[Test]| parts.iter().map(|part| self.part(part, source, person)).collect();
        let (text, parts) = match &test.kind {
            Kind::All(parts) => ("all of".into(), inner(parts)),
            Kind::Any(parts) => ("any of".into(), inner(parts)),
            // `a != b` is one part; `!(…)` has what it negates below it.
            Kind::Not(part) if part.span == test.span => (written(), Vec::new()),
            Kind::Not(part) => ("not".into(), inner(std::slice::from_ref(part))),
            Kind::Same(one, other) => {
                ("both or neither of".into(), vec![self.part(one, source, person), self.part(other, source, person)])
            }
            Kind::InSegment(name) => {
                let segment = self.definitions.get(name);
                (written(), segment.map(|segment| self.explain(segment, person)).into_iter().collect())
            }
            _ => (written(), Vec::new()),
        };
        let values = match &test.kind {
            Kind::Not(part) if part.span == test.span => self.values(part, person),
            _ => self.values(test, person),
        };
        Part { text, holds: self.holds(test, person), values, parts }
    }

    /// The person's values that a test looks at.
    fn values(&self, test: &Test, person: &PersonFacts) -> Vec<(String, String)> {
        match &test.kind {
            Kind::Flag(flag) => vec![self.flag_value(*flag, person)],
            Kind::Is(name, _) => vec![attribute_value(name, person)],
            Kind::Consent(purpose, _) => {
                let decision = person.contact.consent_for(purpose);
                let since = decision.by.map(|mark| format!(" since {}", mark.at.utc())).unwrap_or_default();
                vec![(format!("consent for {purpose}"), format!("{}{since}", decision.state.name()))]
            }
            Kind::OneOf(field, _) | Kind::Affix(field, _, _) => vec![text_value(field, person)],
            Kind::Compare(one, _, other) => {
                [one, other].into_iter().filter_map(|side| self.ordered_value(side, person)).collect()
            }
            Kind::IsSet(field) => vec![match field {
                Field::Text(field) => text_value(field, person),
                Field::Time(field) => self.time_value(*field, person),
                Field::Attribute(name) => attribute_value(name, person),
            }],
            Kind::Contains(field, item) => vec![self.set_value(field, item, person)],
            Kind::Not(_) | Kind::All(_) | Kind::Any(_) | Kind::Same(..) | Kind::Constant(_) | Kind::InSegment(_) => {
                Vec::new()
            }
            Kind::OnList(name) => {
                let is_on = if self.holds(test, person) { "on the list" } else { "not on the list" };
                vec![(format!("list {name}"), is_on.into())]
            }
        }
    }

    fn flag_value(&self, flag: Flag, person: &PersonFacts) -> (String, String) {
        let contact = &person.contact;
        let since = |name: &str, at: Option<Timestamp>| {
            (name.to_owned(), at.map_or_else(|| "no".into(), |at| format!("since {}", at.utc())))
        };
        match flag {
            Flag::Member => since("member", contact.member_since),
            Flag::OptedOut => since("opted_out", contact.opted_out_since),
            Flag::Quarantined => since("quarantined", contact.profile().quarantined_since),
            Flag::MarketingStopped => since("marketing_stopped", contact.marketing_stopped_since),
            Flag::WindowOpen => self.set_value(&SetField::OpenWindows, "", person),
        }
    }

    fn time_value(&self, field: TimeField, person: &PersonFacts) -> (String, String) {
        let name = match field {
            TimeField::Joined => "joined",
            TimeField::Created => "created",
            TimeField::LastInbound => "last_inbound",
        };
        let value = time(field, person).map(|at| {
            let days = self.context.now.since_ms(at) as f64 / (24.0 * 60.0 * 60.0 * 1000.0);
            format!("{} ({days:.1} days ago)", at.utc())
        });
        (name.into(), or_not_set(value))
    }

    fn ordered_value(&self, ordered: &Ordered, person: &PersonFacts) -> Option<(String, String)> {
        match &ordered.base {
            Base::Time(field) => Some(self.time_value(*field, person)),
            Base::NumberAttribute(name) | Base::DateAttribute(name) => Some(attribute_value(name, person)),
            Base::Now => Some(("now".into(), self.context.now.utc())),
            Base::Today => {
                let epoch = jiff::civil::date(1970, 1, 1);
                let day = jiff::Span::new().try_days(self.context.today).and_then(|days| epoch.checked_add(days));
                Some(("today".into(), or_not_set(day.ok().map(|day| day.to_string()))))
            }
            Base::Number(_) | Base::At(_) | Base::Day(_) => None,
        }
    }

    fn set_value(&self, field: &SetField, item: &str, person: &PersonFacts) -> (String, String) {
        let listed = |items: Vec<&str>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
        match field {
            SetField::Tags => {
                ("tags".into(), listed(person.contact.profile().tags.iter().map(String::as_str).collect()))
            }
            SetField::Channels => (
                "channels".into(),
                listed(person.conversations.iter().map(|conversation| &*conversation.channel).collect()),
            ),
            SetField::OpenWindows => ("open_windows".into(), listed(self.open_windows(person).collect())),
            SetField::Groups => {
                let wanted = self.context.groups.get(item);
                let is_in = wanted.is_some_and(|wanted| wanted.iter().any(|group| person.groups.contains(group)));
                (format!("group {item}"), if is_in { "in the group" } else { "not in the group" }.into())
            }
            SetField::Attribute(name) => attribute_value(name, person),
        }
    }
}

fn or_not_set(value: Option<String>) -> String {
    value.unwrap_or_else(|| "not set".into())
}

fn text_value(field: &TextField, person: &PersonFacts) -> (String, String) {
    let name = match field {
        TextField::Name => "name",
        TextField::Language => "language",
        TextField::Zone => "zone",
        TextField::Country => "country",
        TextField::Role => "role",
        TextField::Attribute(name) => return attribute_value(name, person),
    };
    (name.into(), or_not_set(text(field, person).map(str::to_owned)))
}

fn attribute_value(name: &str, person: &PersonFacts) -> (String, String) {
    let value = attribute(person, name).map(|value| match value {
        AttributeValue::Boolean(value) => value.to_string(),
        AttributeValue::Number(number) => number.to_string(),
        AttributeValue::Text(text) => text.clone(),
        AttributeValue::Choices(choices) if choices.is_empty() => "none".into(),
        AttributeValue::Choices(choices) => choices.iter().cloned().collect::<Vec<_>>().join(", "),
    });
    (format!("attributes.{name}"), or_not_set(value))
}
