//! Consent: what a person agreed to receive, as a ledger of entries and as the view derived from
//! it.
//!
//! The ledger is the source; the view ([`Consents`]) is what a look-up needs of it: per purpose the
//! latest grant, withdrawal and question. It is a fold that does not depend on the order of the
//! entries. The store keeps the ledger and makes it tamper-evident.

pub mod rules;

use crate::id::ContactId;
use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// What a person agrees to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Messages at all: answers and notices about what the person asked for. Its withdrawal (STOP)
    /// withdraws every other purpose.
    Service,
    /// Advertising of any kind.
    Marketing,
    /// Advertising about one topic; [`Purpose::Marketing`] covers it.
    MarketingTopic(String),
    /// Messages of the community to its members.
    Group,
    /// Requests for feedback.
    Survey,
}

/// The maximum length of a topic's name.
const MAX_TOPIC: usize = 48;

/// The text names no purpose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a purpose; the purposes are `service`, `marketing`, `marketing:TOPIC`, `group` and `survey`")]
pub struct ParsePurposeError(pub String);

impl Purpose {
    /// Whether a grant for this purpose includes the other one.
    fn includes(&self, other: &Purpose) -> bool {
        self == other || matches!((self, other), (Purpose::Marketing, Purpose::MarketingTopic(_)))
    }

    /// Whether a withdrawal of this purpose withdraws the other one too.
    fn ends(&self, other: &Purpose) -> bool {
        *self == Purpose::Service || self.includes(other)
    }

    /// Whether it is advertising.
    pub fn is_marketing(&self) -> bool {
        matches!(self, Purpose::Marketing | Purpose::MarketingTopic(_))
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Purpose::Service => f.write_str("service"),
            Purpose::Marketing => f.write_str("marketing"),
            Purpose::MarketingTopic(topic) => write!(f, "marketing:{topic}"),
            Purpose::Group => f.write_str("group"),
            Purpose::Survey => f.write_str("survey"),
        }
    }
}

impl FromStr for Purpose {
    type Err = ParsePurposeError;

    fn from_str(text: &str) -> Result<Self, ParsePurposeError> {
        let is_topic = |topic: &str| {
            (1..=MAX_TOPIC).contains(&topic.len())
                && topic.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_'))
        };
        Ok(match text {
            "service" => Purpose::Service,
            "marketing" => Purpose::Marketing,
            "group" => Purpose::Group,
            "survey" => Purpose::Survey,
            _ => match text.strip_prefix("marketing:") {
                Some(topic) if is_topic(topic) => Purpose::MarketingTopic(topic.to_owned()),
                _ => return Err(ParsePurposeError(text.to_owned())),
            },
        })
    }
}

impl Serialize for Purpose {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Purpose {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How a person expressed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsentSource {
    /// A message or a tap in the chat, or a preference set in WhatsApp.
    Whatsapp,
    /// A web form.
    Web,
    /// A text message.
    Sms,
    /// A phone menu.
    Ivr,
    /// A signed document.
    Paper,
    /// Said in person.
    InPerson,
    /// A list that was imported.
    Import,
    /// A QR code.
    Qr,
    /// An advertisement.
    Ad,
    /// A CRM.
    Crm,
    /// A decision of the operator.
    Operator,
}

impl ConsentSource {
    /// All of them.
    pub const ALL: [ConsentSource; 11] = [
        ConsentSource::Whatsapp,
        ConsentSource::Web,
        ConsentSource::Sms,
        ConsentSource::Ivr,
        ConsentSource::Paper,
        ConsentSource::InPerson,
        ConsentSource::Import,
        ConsentSource::Qr,
        ConsentSource::Ad,
        ConsentSource::Crm,
        ConsentSource::Operator,
    ];

    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            ConsentSource::Whatsapp => "whatsapp",
            ConsentSource::Web => "web",
            ConsentSource::Sms => "sms",
            ConsentSource::Ivr => "ivr",
            ConsentSource::Paper => "paper",
            ConsentSource::InPerson => "in-person",
            ConsentSource::Import => "import",
            ConsentSource::Qr => "qr",
            ConsentSource::Ad => "ad",
            ConsentSource::Crm => "crm",
            ConsentSource::Operator => "operator",
        }
    }

    /// The source with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }
}

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsentAct {
    /// The person agreed.
    Granted,
    /// The person declined or withdrew.
    Withdrawn,
    /// Someone else reported that the person agreed. It counts once the person confirms it.
    Requested,
}

impl ConsentAct {
    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            ConsentAct::Granted => "granted",
            ConsentAct::Withdrawn => "withdrawn",
            ConsentAct::Requested => "requested",
        }
    }
}

/// The words that a person agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wording {
    /// Its name in the configuration.
    pub id: String,
    /// BCP 47.
    pub language: String,
    /// Its version in the configuration.
    pub version: u32,
    /// SHA-256 of the text in hexadecimal; the store keeps the text.
    pub sha256: String,
}

/// The actors of the ledger that are no plugin.
pub mod actor {
    /// The person themselves, in the chat.
    pub const PERSON: &str = "person";
    /// WhatsApp, for a preference that the person set there.
    pub const PLATFORM: &str = "platform";
    /// The operator.
    pub const OPERATOR: &str = "operator";
    /// Beadle, for what was known before there was a ledger, or of another contact.
    pub const HOST: &str = "beadle";
}

/// An entry of the ledger, without its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewConsent {
    /// The person.
    pub contact: ContactId,
    /// What for.
    pub purpose: Purpose,
    /// What it does.
    pub act: ConsentAct,
    /// How the person expressed it.
    pub source: ConsentSource,
    /// The words that the person agreed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wording: Option<Wording>,
    /// When the person expressed it.
    pub at: Timestamp,
    /// For a request: until when it can be confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The proof: a platform message id, the number of a form or document, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Who recorded it: one of [`actor`], or `plugin:NAME`.
    pub actor: String,
}

impl NewConsent {
    /// What a person expressed in the chat, without evidence. The recorder sets the contact.
    pub fn in_chat(purpose: Purpose, act: ConsentAct, at: Timestamp) -> Self {
        Self {
            contact: ContactId(0),
            purpose,
            act,
            source: ConsentSource::Whatsapp,
            wording: None,
            at,
            expires_at: None,
            evidence: None,
            actor: actor::PERSON.into(),
        }
    }
}

/// An entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentEntry {
    /// Its number: the order in which entries were recorded.
    pub id: i64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What was recorded.
    #[serde(flatten)]
    pub consent: NewConsent,
}

/// When something was expressed, and the entry that says so. Of two at one time, the one that was
/// recorded later counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConsentMark {
    /// When.
    pub at: Timestamp,
    /// The entry.
    pub entry: i64,
}

/// The latest of each act for one purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentMarks {
    /// The latest grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<ConsentMark>,
    /// The latest withdrawal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<ConsentMark>,
    /// The latest request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<ConsentMark>,
}

impl ConsentMarks {
    fn note(&mut self, act: ConsentAct, mark: ConsentMark) {
        let latest = match act {
            ConsentAct::Granted => &mut self.granted,
            ConsentAct::Withdrawn => &mut self.withdrawn,
            ConsentAct::Requested => &mut self.requested,
        };
        *latest = (*latest).max(Some(mark));
    }
}

/// The state of a person's consent for a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsentState {
    /// The person agreed.
    Granted,
    /// The person declined or withdrew.
    Withdrawn,
    /// The person was asked to confirm and has not answered.
    Requested,
    /// Nothing is recorded.
    Missing,
}

impl ConsentState {
    /// The name for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            ConsentState::Granted => "granted",
            ConsentState::Withdrawn => "withdrawn",
            ConsentState::Requested => "requested",
            ConsentState::Missing => "missing",
        }
    }
}

/// Whether a person agreed to a purpose, and the entry that decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentDecision {
    /// The state.
    pub state: ConsentState,
    /// The entry that decides, and when that was.
    pub by: Option<ConsentMark>,
}

/// The view of a person's entries that look-ups use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consents {
    /// By purpose, in the order of purposes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    purposes: Vec<(Purpose, ConsentMarks)>,
    /// The preference for marketing that the person set in WhatsApp.
    #[serde(default)]
    platform: ConsentMarks,
}

impl Consents {
    /// The view of these entries, in any order.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a ConsentEntry>) -> Self {
        let mut consents = Self::default();
        entries.into_iter().for_each(|entry| consents.note(entry));
        consents
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.purposes.is_empty()
    }

    /// Adds an entry.
    pub fn note(&mut self, entry: &ConsentEntry) {
        let NewConsent { purpose, act, at, actor, .. } = &entry.consent;
        let mark = ConsentMark { at: *at, entry: entry.id };
        if actor == actor::PLATFORM && *purpose == Purpose::Marketing {
            self.platform.note(*act, mark);
        }
        match self.purposes.binary_search_by(|(known, _)| known.cmp(purpose)) {
            Ok(index) => {
                if let Some((_, marks)) = self.purposes.get_mut(index) {
                    marks.note(*act, mark);
                }
            }
            Err(index) => {
                let mut marks = ConsentMarks::default();
                marks.note(*act, mark);
                self.purposes.insert(index, (purpose.clone(), marks));
            }
        }
    }

    /// Whether this grant would change the state of a purpose that it includes: `marketing` also
    /// grants topics that were withdrawn since the last one.
    pub fn would_grant(&self, purpose: &Purpose, at: Timestamp) -> bool {
        let is_earlier = |by: Option<ConsentMark>| by.is_none_or(|mark| mark.at <= at);
        self.known_or(purpose, |known| purpose.includes(known)).any(|known| {
            let ConsentDecision { state, by } = self.decide(known);
            state != ConsentState::Granted && is_earlier(by)
        })
    }

    /// The latest entry that a withdrawal of this purpose would end, of any purpose: `marketing`
    /// also ends topics that were granted since the last one.
    pub fn ended_by(&self, purpose: &Purpose) -> Option<ConsentMark> {
        let ended = self.known_or(purpose, |known| purpose.ends(known)).map(|known| self.decide(known));
        ended.filter(|decision| decision.state != ConsentState::Withdrawn).filter_map(|decision| decision.by).max()
    }

    /// The latest withdrawal of this purpose, or of one that it includes, that still holds.
    pub fn withdrawal_within<'a>(&'a self, purpose: &'a Purpose) -> Option<(&'a Purpose, ConsentMark)> {
        let withdrawn = self.known_or(purpose, |known| purpose.includes(known)).filter_map(|known| {
            let ConsentDecision { state, by } = self.decide(known);
            by.filter(|_| state == ConsentState::Withdrawn).map(|mark| (known, mark))
        });
        withdrawn.max_by_key(|(_, mark)| *mark)
    }

    /// A purpose, and the known ones that are related to it.
    fn known_or<'a>(
        &'a self,
        purpose: &'a Purpose,
        is_related: impl Fn(&Purpose) -> bool,
    ) -> impl Iterator<Item = &'a Purpose> {
        let related = self.purposes().filter(move |known| *known != purpose && is_related(known));
        std::iter::once(purpose).chain(related)
    }

    /// The purposes about which something is recorded.
    pub fn purposes(&self) -> impl Iterator<Item = &Purpose> {
        self.purposes.iter().map(|(purpose, _)| purpose)
    }

    /// When the latest entry was expressed, for any purpose.
    pub fn latest(&self) -> Option<Timestamp> {
        let marks = self.purposes.iter().flat_map(|(_, marks)| [marks.granted, marks.withdrawn, marks.requested]);
        marks.flatten().map(|mark| mark.at).max()
    }

    /// Whether the person agreed to this purpose: the latest of the grants that include it and the
    /// withdrawals that end it decides; a request counts only if there is neither, or it is later.
    pub fn decide(&self, purpose: &Purpose) -> ConsentDecision {
        let latest = |covers: &dyn Fn(&Purpose) -> bool, mark: &dyn Fn(&ConsentMarks) -> Option<ConsentMark>| {
            self.purposes.iter().filter(|(known, _)| covers(known)).filter_map(|(_, marks)| mark(marks)).max()
        };
        let granted = latest(&|known| known.includes(purpose), &|marks| marks.granted);
        let withdrawn = latest(&|known| known.ends(purpose), &|marks| marks.withdrawn);
        let requested = latest(&|known| known.includes(purpose), &|marks| marks.requested);
        let decided = granted.max(withdrawn);
        let (state, by) = match decided {
            // Someone who agreed need not be asked again; a question after a refusal is still open.
            _ if granted.is_some() && granted == decided => (ConsentState::Granted, granted),
            _ if requested > decided => (ConsentState::Requested, requested),
            Some(_) => (ConsentState::Withdrawn, withdrawn),
            None => (ConsentState::Missing, None),
        };
        ConsentDecision { state, by }
    }

    /// Whether the person agrees to something now.
    pub fn has_grant(&self) -> bool {
        self.purposes().any(|purpose| self.decide(purpose).state == ConsentState::Granted)
    }

    /// When the person turned off marketing in WhatsApp, if they did and have not turned it on
    /// since.
    pub fn platform_stop(&self) -> Option<ConsentMark> {
        self.platform.withdrawn.filter(|_| self.platform.withdrawn > self.platform.granted)
    }
}

#[cfg(test)]
mod tests;
