//! The store: the only crate that knows SQL, and the durable record of everything.
//!
//! Its interface is whole steps ([`step`]): append these events, commit this handling, settle these
//! sends. One writer thread owns the only writing connection. It groups waiting steps into one
//! transaction, so that they share one sync to disk, and answers each step once it is durable.
//! Readers see what was committed. New events leave through the [`Feed`], in the order of their
//! ids, each once.
//!
//! Bounded: the queue before the writer (when full: [`StoreError::Busy`]), a group (512 steps), the
//! feed's memory (beyond it the feed reads from disk), the cache of contacts, the reading
//! connections, and every listing.
//!
//! It decides nothing: rules are in `gate`, retries in `pipeline`, waiting for a time in
//! `schedule`. See `docs/design.md#storage`.

mod append;
mod ballast;
mod broadcast_steps;
mod broadcasts;
mod cache;
mod charges;
mod checkpoint;
mod codec;
mod commit;
mod connection;
mod consent_head;
mod consents;
mod contact_edit;
mod dead;
mod deferred;
mod documents;
mod durable_requests;
mod erasure;
mod error;
#[cfg(debug_assertions)]
pub mod fault;
mod feed;
mod files;
mod fired_timers;
mod groups;
mod handle;
mod import;
mod lists;
mod lock;
mod media;
mod merge;
mod merged;
mod meta;
mod numbers;
mod open;
mod opt_in;
mod outreach;
mod outreach_holds;
mod people;
mod plugins;
mod queue;
mod quota;
mod random;
mod read;
mod refresh_tokens;
mod refused;
mod rejected;
mod requests;
mod retain;
pub mod schedules;
mod schema;
mod settle;
mod shared;
mod state;
mod states;
pub mod step;
mod templates;
mod timers;
mod tx;
mod unreadable;
pub mod views;
mod windows;
mod writer;
mod writer_cache;

pub use broadcasts::{
    ATTRIBUTION_MS, BroadcastBaseline, BroadcastReason, BroadcastRow, Handover, PlannedRecipient, RecipientCount,
    RecipientFilter, RecipientRow,
};
pub use charges::{ChargeRow, PendingCharge};
pub use consents::{ConsentCheck, RecordedConsent};
pub use contact_edit::ContactEdit;
pub use documents::{Document, NewDocument};
pub use durable_requests::{
    MAX_REQUEST_BYTES, MAX_REQUESTS, RequestCounts, RequestRow, RequestSettlement, RequestState,
};
pub use erasure::{AskedBy, ErasingPlugin, ErasingState, Erasure, ErasurePhase, ErasureReport};
pub use error::{CODES, StoreError};
pub use feed::Feed;
pub use files::{Files, MediaWriter};
pub use groups::{PendingJoinRequest, PlatformGroup};
pub use handle::Store;
pub use import::{ImportOutcome, ImportedContact};
pub use lists::{ListChange, ListId, ListMember, ListRow, MAX_LISTS};
pub use media::{FetchOutcome, MediaRow, MediaState};
pub use open::StoreConfig;
pub use opt_in::{OptInOutcome, OptInRequest};
pub use outreach::MarketingSends;
pub use outreach_holds::OutreachHold;
pub use plugins::{PluginRow, PurgeReport};
pub use quota::TIMER_ROW_BYTES;
pub use read::Reader;
pub use read::facts::{ConversationFacts, FACTS_PAGE, FactsPage, NamedGroup, PersonFacts, WantedFacts};
pub use read::person::{PersonEvent, PersonGroup, PersonMessage, PersonPage, PersonTimer, PersonValue, readable_value};
pub use refresh_tokens::RotatedToken;
pub use requests::{CONFIRM_WITHIN_MS, ContactRequest, ExportAnswer, PersonRequest, RequestKind};
pub use retain::{Retention, RetentionPlan, RetentionReport};
pub use settle::Settled;
pub use shared::StoreHealth;
pub use states::{StateCursor, StateEntry, StateInfo};
pub use step::{DeadLetterRef, RetriedDeadLetter};
pub use templates::{AccountRow, KnownTemplates, TemplateFilter};
pub use timers::{OPEN_TIMERS, TIMERS_PER_SECOND};
