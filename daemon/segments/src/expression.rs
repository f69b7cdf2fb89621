//! An expression after its check: every name is known, both sides of each comparison have one type.

use beadle_model::Purpose;
use beadle_model::consent::ConsentState;
use beadle_store::WantedFacts;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The segments of a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    pub(crate) segments: BTreeMap<String, Segment>,
    /// The time zone of dates and of `today`.
    pub(crate) timezone: String,
}

impl Definitions {
    /// All segments, by name.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.values()
    }

    /// The segment with this name.
    pub fn get(&self, name: &str) -> Option<&Segment> {
        self.segments.get(name)
    }
}

/// A segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Its name in the configuration.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The expression as the operator wrote it.
    pub source: String,
    pub(crate) test: Test,
}

impl Segment {
    /// The segments that the expression names.
    pub fn named_segments(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.test.visit(&mut |kind| {
            if let Kind::InSegment(name) = kind {
                names.insert(name.clone());
            }
        });
        names
    }

    /// The lists that the expression names.
    pub fn named_lists(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.test.visit(&mut |kind| {
            if let Kind::OnList(name) = kind {
                names.insert(name.clone());
            }
        });
        names
    }

    /// The groups that the expression names.
    pub(crate) fn named_groups(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.test.visit(&mut |kind| {
            if let Kind::Contains(SetField::Groups, name) = kind {
                names.insert(name.clone());
            }
        });
        names
    }
}

/// A part of an expression that is true or false, and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    pub span: Range<usize>,
    pub kind: Kind,
}

/// The condition of a test.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    /// Both are true or both are false.
    Same(Box<Test>, Box<Test>),
    Constant(bool),
    Flag(Flag),
    /// An attribute has this value; `false` if it is not set.
    Is(String, bool),
    Consent(Purpose, ConsentState),
    /// The text is one of these.
    OneOf(TextField, Vec<String>),
    Affix(TextField, Affix, String),
    Compare(Ordered, Comparison, Ordered),
    IsSet(Field),
    Contains(SetField, String),
    InSegment(String),
    OnList(String),
}

impl Test {
    pub fn visit(&self, see: &mut impl FnMut(&Kind)) {
        see(&self.kind);
        match &self.kind {
            Kind::All(parts) | Kind::Any(parts) => parts.iter().for_each(|part| part.visit(see)),
            Kind::Not(part) => part.visit(see),
            Kind::Same(one, other) => {
                one.visit(see);
                other.visit(see);
            }
            _ => {}
        }
    }

    /// The number of tests.
    pub fn size(&self) -> usize {
        let mut size = 0;
        self.visit(&mut |_| size += 1);
        size
    }

    /// Notes which tables must be read.
    pub fn note_wanted(&self, wanted: &mut WantedFacts) {
        self.visit(&mut |kind| {
            let conversations = match kind {
                Kind::Flag(Flag::WindowOpen) | Kind::Contains(SetField::Channels | SetField::OpenWindows, _) => true,
                Kind::Compare(one, _, other) => {
                    [one, other].iter().any(|operand| operand.base == Base::Time(TimeField::LastInbound))
                }
                Kind::IsSet(Field::Time(TimeField::LastInbound)) => true,
                _ => false,
            };
            let country = match kind {
                Kind::OneOf(field, _) | Kind::Affix(field, _, _) | Kind::IsSet(Field::Text(field)) => {
                    *field == TextField::Country
                }
                _ => false,
            };
            wanted.conversations |= conversations;
            wanted.country |= country;
        });
    }
}

/// A fact that is true or false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    Member,
    OptedOut,
    Quarantined,
    MarketingStopped,
    WindowOpen,
}

/// A text, which may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextField {
    Name,
    Language,
    Zone,
    Country,
    Role,
    Attribute(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affix {
    Prefix,
    Suffix,
    Anywhere,
}

/// A time, which may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeField {
    Joined,
    Created,
    LastInbound,
}

/// A set of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetField {
    Tags,
    Channels,
    OpenWindows,
    Groups,
    Attribute(String),
}

/// A value that may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    Text(TextField),
    Time(TimeField),
    Attribute(String),
}

/// A value with an order: a number, a time (milliseconds) or a date (days since 1970).
#[derive(Clone, Debug, PartialEq)]
pub struct Ordered {
    pub base: Base,
    /// Added to the base, in its unit.
    pub offset: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    Number(f64),
    NumberAttribute(String),
    Now,
    At(i64),
    Time(TimeField),
    Today,
    Day(i64),
    DateAttribute(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
