//! The shared types of Beadle: ids, times, contacts, conversations, events and effects.
//!
//! All crates above use these types, and everything durable is one of them, as JSON or in columns.
//! They mirror the plugin contract (`plugin-api/wit`) and use the platform's words, so that a value
//! keeps its name on the way from a webhook to a plugin and back.
//!
//! Invariant: no I/O, no clock, no async. Rules are in `gate`, SQL in `store`, the platform's JSON
//! in `whatsapp`.

pub mod broadcast;
pub mod consent;
pub mod contact;
pub mod content;
pub mod country;
pub mod day;
pub mod effect;
pub mod error;
pub mod event;
pub mod gate_trace;
pub mod id;
pub mod keyword;
pub mod language;
pub mod message_key;
pub mod outgoing;
pub mod phone;
pub mod profile;
pub mod refusal;
pub mod secret;
pub mod template;
pub mod text;
pub mod time;
pub mod window;
pub mod zone;

pub use broadcast::{Audience, BroadcastDefinition, BroadcastState, FollowUp, RecipientState};
pub use consent::{ConsentState, Consents, Purpose};
pub use contact::{Alias, AliasKind, Contact, ConversationView};
pub use content::{Content, Context, Referral};
pub use country::{country_of, country_of_number};
pub use day::{Day, ParseDayError};
pub use effect::{Effects, Scope};
pub use error::{Blame, Coded};
pub use event::{BodyBytes, Disposition, Ending, Event, EventBody, EventKind, PersonIds};
pub use gate_trace::{CheckOutcome, GateTrace, TraceStep};
pub use id::{
    BroadcastId, ContactId, ConversationId, EventId, HandlingId, MediaId, MessageId, ParseIdError, PluginNo, RequestId,
    StateNo, WebhookId,
};
pub use keyword::Keyword;
pub use language::{is_language_tag, language_of_number};
pub use message_key::message_key;
pub use outgoing::Outgoing;
pub use profile::{Profile, Role};
pub use refusal::Refusal;
pub use secret::Secret;
pub use template::{TemplateChange, TemplateDefinition, TemplateNews};
pub use time::Timestamp;
pub use window::{LeadTimes, WINDOW_MS};
pub use zone::zone_of_number;
