//! Responses of the daemon as text: a table for a list, `name value` lines for one object.
//!
//! Each function takes the response of one `GET` and returns [`Output`]: the text for stdout, and
//! hints for stderr. Nothing here makes requests.

mod consents;
mod costs;
mod events;
mod gate;
mod people;
mod plugins;
mod schedules;
mod status;
mod text;
mod windows;

pub use consents::{consent, consent_check, consent_links, consents, import, no_link, requests};
pub use costs::costs;
pub use events::{dead_letter, dead_letters, event, event_line, events, outbox, outbox_waiting};
pub use gate::{gate, lint, preview, template, templates};
pub use people::{contact, contacts, duplicates, merge};
pub use plugins::{documents, plugin, plugins, state};
pub use schedules::{firings, next_firings, schedule, schedule_dry_run, schedules};
pub use status::{done, status, why};
pub use text::{Output, Result, Screen};
pub use windows::{windows, windows_by_hour};
