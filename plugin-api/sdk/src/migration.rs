//! Migration of the plugin's state from the format of an earlier revision.
//!
//! A plugin that changes the format of its state numbers the formats, and says how to convert a
//! page of an earlier one. Beadle copies the state and passes it page by page to
//! [`Migration::migrate`]: first as a trial whose result is discarded, then again with the plugin
//! paused. The migrated copy and the new revision take over together. If a page fails, the earlier
//! revision continues with its state unchanged.
//!
//! A plugin that kept a plain number, and now also keeps the time of the last count:
//!
//! ```
//! use beadle_plugin::migration::{Migration, Next, Page};
//! use beadle_plugin::prelude::*;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Tally {
//!     count: u64,
//!     last: Option<i64>,
//! }
//!
//! #[derive(Default)]
//! struct Notes;
//!
//! impl Migration for Notes {
//!     /// Earlier revisions exported no migration, so their state has version 0.
//!     const VERSION: u32 = 1;
//!
//!     fn migrate(&self, page: Page) -> Result<Next, Failure> {
//!         for entry in page.entries.into_iter().filter(|entry| entry.key == "count") {
//!             let tally = Tally { count: entry.value()?, last: None };
//!             state::set(entry.scope.clone(), "tally", &tally)?;
//!             state::delete(entry.scope, "count")?;
//!         }
//!         Ok(Next::More)
//!     }
//! }
//! # impl OnMessage for Notes {
//! #     fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
//! #         Ok(Disposition::Pass)
//! #     }
//! # }
//!
//! plugin!(Notes: Migration, OnMessage);
//!
//! // In a test:
//! # fn main() {
//! let host = beadle_plugin::testing::Host::new();
//! let ana = host.person("Ana");
//! state::set(&ana, "count", &3).unwrap();
//! host.migrate(&Notes, 0).unwrap();
//! assert_eq!(state::get::<Tally>(&ana, "tally").unwrap().unwrap().count, 3);
//! # }
//! ```
//!
//! Later versions keep the conversions of earlier ones: `page.from_version` is the format of the
//! page.

use crate::types::Failure;
use serde::de::DeserializeOwned;

pub use crate::bindings::migration::exports::beadle::plugin::migration::{Entry, Next, Page};

/// A plugin that can migrate its state. Listed in [`plugin!`](crate::plugin) with the events.
pub trait Migration {
    /// The version of the state that this revision reads and writes: 1 or higher, incremented with
    /// every change of format.
    const VERSION: u32;

    /// Converts one page. Write changes with [`state`](crate::state), in any scope; entries that
    /// are not written stay unchanged. `settings`, `clock`, `random` and `log` are available, other
    /// capabilities refuse. Each page has the limits of an event.
    fn migrate(&self, page: Page) -> Result<Next, Failure>;
}

impl Entry {
    /// The value, deserialised from JSON.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.value)
    }
}
