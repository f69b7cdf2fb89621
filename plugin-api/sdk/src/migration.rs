//! Bringing the plugin's state from the form of an earlier revision to that of this one.
//!
//! A plugin whose state changes its form says which version of it this revision keeps, and how a part of the earlier one
//! becomes a part of this one. Beadle copies the state, gives it page by page to [`Migration::migrate`], tries the whole
//! on a copy of which nothing remains, and then does it for good while the plugin is paused; from then on the new form is
//! there and the new revision serves. If any page fails, the earlier revision goes on with its state as it was.
//!
//! A plugin that once kept a plain number, and now keeps when it was counted last:
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
//!     /// The revisions before it had no version: that is 0. So is whatever is kept before a plugin numbers it.
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
//! // In a test: what an earlier revision kept, brought over.
//! # fn main() {
//! let host = beadle_plugin::testing::Host::new();
//! let ana = host.person("Ana");
//! state::set(&ana, "count", &3).unwrap();
//! host.migrate(&Notes, 0).unwrap();
//! assert_eq!(state::get::<Tally>(&ana, "tally").unwrap().unwrap().count, 3);
//! # }
//! ```
//!
//! Later versions keep the steps of the earlier ones: `page.from` says which form this page has.

use crate::Failure;
use serde::de::DeserializeOwned;

pub use crate::bindings::migration::exports::beadle::plugin::migration::{Entry, Next, Page};

/// A plugin that can bring its state over. Named in [`plugin!`](crate::plugin) beside the events.
pub trait Migration {
    /// The version under which this revision keeps its state: 1 or more, one higher whenever the form changes.
    const VERSION: u32;

    /// Brings a page over. What is to be otherwise is written with [`state`](crate::state), in any scope; what is left
    /// alone stays. Other capabilities that do something refuse. Each page has the limits of an event.
    fn migrate(&self, page: Page) -> Result<Next, Failure>;
}

impl Entry {
    /// The value, as this type.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.value)
    }
}
