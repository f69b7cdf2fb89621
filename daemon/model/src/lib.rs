//! The nouns of Beadle: ids, times, contacts, conversations, events and effects.
//!
//! Everything above this crate speaks in these types, and everything durable is one of them in JSON or in a column.
//! They mirror the plugin contract (`plugin-api/wit`) on one side and the platform's words on the other, so that a
//! value can be followed from a webhook to a plugin and back without changing its name.
//!
//! It is not: a place for rules (those are in `gate`), for SQL, for the platform's JSON, or for anything that waits,
//! reads a clock or touches a disk.

pub mod contact;
pub mod content;
pub mod effect;
pub mod error;
pub mod event;
pub mod id;
pub mod language;
pub mod outgoing;
pub mod phone;
pub mod time;
pub mod window;
pub mod word;
pub mod zone;

pub use contact::{Alias, AliasKind, Contact, ConversationView};
pub use content::{Content, Context, Referral};
pub use effect::{Effects, Refusal, Scope};
pub use error::{Blame, Coded};
pub use event::{Disposition, Ending, Event, EventBody, EventKind};
pub use id::{
    ContactId, ConversationId, EventId, HandlingId, MediaId, MessageId, ParseIdError, PluginNo, StateNo, WebhookId,
};
pub use language::language_of_number;
pub use outgoing::Outgoing;
pub use time::Timestamp;
pub use window::{Leads, WINDOW_MS};
pub use word::Word;
pub use zone::zone_of_number;
