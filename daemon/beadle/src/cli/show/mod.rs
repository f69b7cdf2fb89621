//! Responses of the daemon as text: a table for a list, `name value` lines for one object.
//!
//! Each function takes the response of one `GET` and returns [`Output`]: the text for stdout, and
//! hints for stderr. Nothing here makes requests.

mod broadcasts;
mod consents;
mod costs;
mod durable_requests;
mod events;
mod gate;
mod import;
mod people;
mod plugins;
mod privacy;
mod requests;
mod schedules;
mod segments;
mod status;
mod templates;
mod text;
mod windows;

pub use broadcasts::{bar as progress_bar, broadcast, broadcasts, recipients};
pub use consents::{consent, consent_check, consent_links, consents, no_link};
pub use costs::costs;
pub use durable_requests::{durable_request, durable_requests};
pub use events::{dead_letter, dead_letters, event, event_line, events, outbox, outbox_waiting};
pub use gate::gate;
pub use import::import;
pub use people::{contact, contacts, duplicates, merge};
pub use plugins::{documents, plugin, plugins, state};
pub use privacy::{erasure, erasures, retention_plan};
pub use requests::requests;
pub use schedules::{firings, next_firings, schedule, schedule_dry_run, schedules};
pub use segments::{
    people_list_changed, people_list_created, people_list_members, people_lists, segment_count, segment_explanation,
    segment_members, segments,
};
pub use status::{done, status, why};
pub use templates::{lint, preview, template, templates};
pub use text::{Output, Result, Screen};
pub use windows::{windows, windows_by_hour};
