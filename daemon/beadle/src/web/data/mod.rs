//! Handlers of `/api/v1`, which answer in the shapes of [`crate::api`].
//!
//! The store blocks, so it is read on tokio's blocking threads. Every list has a limit. Numbers of
//! plugins become names.

mod broadcasts;
mod clock;
mod consents;
mod contact_values;
mod costs;
mod dead_letters;
mod durable_requests;
mod events;
mod gate;
mod import;
mod outbox;
mod outside;
mod people;
mod person;
mod plugins;
mod privacy;
mod query;
mod requests;
mod schedules;
mod segments;
mod state;
mod status;
mod tasks;
mod templates;
mod windows;

pub use broadcasts::{
    approve_broadcast, broadcast, broadcasts, create_broadcast, pause_broadcast, plan_broadcast, recipients,
    resume_broadcast, start_broadcast, stop_broadcast, test_broadcast,
};
pub use clock::clock;
pub use consents::{consent_links, consents, contact_consents, record_consent, verify_consents};
pub use costs::costs;
pub use dead_letters::{dead_letter, dead_letters, drop_dead_letter, retry_dead_letter};
pub use durable_requests::{durable_request, durable_requests};
pub use events::{ending, event, event_row, events, tail};
pub use gate::explain;
pub use import::{export, import};
pub use outbox::{message_row, outbox, receipts};
pub use people::{contact, contacts, duplicates, edit_contact, mark_distinct, merge, merge_dry_run};
pub use person::{PageError, page};
pub use plugins::{
    disable, documents, enable, grant, plugin, plugins, purge, revoke, rollback, rollback_discarding_state,
};
pub use privacy::{erase, erasure, erasures, person_data, retention_plan};
pub use query::{Names, read};
pub use requests::{close_request, requests};
pub use schedules::{dry_run, history, next, run, schedule, schedules};
pub use segments::{
    count_segment, create_list, delete_list, edit_list, explain_segment, list, list_members, lists, segment_members,
    segments,
};
pub use state::state;
pub use status::{config, pause_of, problems, snapshot, status, status_line};
#[cfg(debug_assertions)]
pub use tasks::inject;
pub use templates::{lint, preview, sync_templates, template, templates};
pub use windows::{windows, windows_by_hour};
