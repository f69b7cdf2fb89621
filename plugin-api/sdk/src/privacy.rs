//! What the plugin keeps about people in places that Beadle cannot assign to a person: state of the
//! scope `Plugin`. State of a contact and of a conversation is exported and erased by Beadle
//! itself.
//!
//! A plugin that keeps a list of guests in one value:
//!
//! ```
//! use beadle_plugin::prelude::*;
//! use beadle_plugin::privacy::{Person, Privacy};
//! use serde_json::{Value, json};
//!
//! #[derive(Default)]
//! struct Guests;
//!
//! fn guests() -> Result<Vec<String>, Refusal> {
//!     Ok(state::get(Scope::Plugin, "guests")?.unwrap_or_default())
//! }
//!
//! impl Privacy for Guests {
//!     fn export_contact(&self, person: Person) -> Result<Value, Failure> {
//!         Ok(json!({ "on_the_list": guests()?.iter().any(|guest| person.is(guest)) }))
//!     }
//!
//!     fn erase_contact(&self, person: Person) -> Result<(), Failure> {
//!         let mut guests = guests()?;
//!         guests.retain(|guest| !person.is(guest));
//!         Ok(state::set(Scope::Plugin, "guests", &guests)?)
//!     }
//! }
//! # impl OnMessage for Guests {
//! #     fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
//! #         Ok(Disposition::Pass)
//! #     }
//! # }
//!
//! plugin!(Guests: Privacy, OnMessage);
//!
//! // In a test:
//! # fn main() {
//! let host = beadle_plugin::testing::Host::new();
//! let ana = host.person("Ana");
//! state::set(Scope::Plugin, "guests", &[&ana.id]).unwrap();
//! assert_eq!(Guests.export_contact(host.ids(&ana)).unwrap()["on_the_list"], true);
//! host.erase(&Guests, &ana).unwrap();
//! assert!(guests().unwrap().is_empty());
//! # }
//! ```

use crate::types::Failure;
use serde_json::Value;

/// A person, by every id under which the plugin may keep something.
pub use crate::bindings::privacy::exports::beadle::plugin::privacy::Person;

/// A plugin that can export and erase what it keeps about a person. Listed in
/// [`plugin!`](crate::plugin) with the events.
pub trait Privacy {
    /// What the plugin keeps about the person, as JSON that people can read. Effects are discarded.
    fn export_contact(&self, person: Person) -> Result<Value, Failure>;

    /// Deletes what the plugin keeps about the person. The call is repeated until it succeeds; the
    /// erasure is complete only then. Nothing can be sent to the person. There may be nothing to
    /// delete.
    fn erase_contact(&self, person: Person) -> Result<(), Failure>;
}

impl Person {
    /// Whether this is an id of the person: of the contact, of a contact that was merged into it,
    /// or of a conversation with them.
    pub fn is(&self, id: &str) -> bool {
        self.contact == id || self.merged.iter().chain(&self.conversations).any(|known| known == id)
    }
}
