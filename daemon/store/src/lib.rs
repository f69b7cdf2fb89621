//! The store: the one place that knows SQL, and the memory of everything that must not be lost.
//!
//! It speaks in whole steps ([`step`]): append these events, commit this handling, settle these sends. One writer thread
//! owns the one connection that writes; it gathers what is waiting into one transaction, so that many steps share the
//! price of one sync to disk, and answers each of them only when it is durable. Readers stand beside it and see what
//! was committed. Events that are new leave through the [`Feed`], in the order of their ids, each once.
//!
//! Bounded are: the queue before the writer (full: [`StoreError::Busy`]), a group (512 steps), the feed's memory (then it
//! reads from disk), the cache of people, the connections for reading, and every listing.
//!
//! It is not: a place for rules (`gate`), for what is tried when (`pipeline`), or for waiting on the clock: it does what
//! it is told, when it is told.

mod append;
mod ballast;
mod cache;
mod checkpoint;
mod codec;
mod commit;
mod dead;
mod documents;
mod error;
mod feed;
mod files;
mod groups;
mod handle;
mod letters;
mod lock;
mod media;
mod merge;
mod open;
mod people;
mod plugins;
mod profile;
mod queue;
mod read;
mod register;
mod retain;
pub mod schedules;
mod schema;
mod settle;
mod shadow;
mod shared;
pub mod shown;
mod state;
mod states;
pub mod step;
mod timers;
mod windows;
mod writer;

pub use dead::{DeadRef, Retried};
pub use documents::{Document, NewDocument};
pub use error::{CODES, StoreError};
pub use feed::Feed;
pub use files::{Files, Part};
pub use groups::{GroupShown, JoinRequestShown};
pub use handle::Store;
pub use media::{Fetched, MediaRow, MediaState};
pub use open::StoreConfig;
pub use plugins::{PluginRow, Purged};
pub use profile::ContactEdit;
pub use read::Reader;
pub use retain::{Retained, Retention};
pub use settle::Settled;
pub use shared::Health;
pub use states::{StateEntry, StatePlace, StateShown};
