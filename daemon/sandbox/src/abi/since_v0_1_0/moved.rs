//! A plugin's state on its way to a new form, as API 0.1.0 has it.

use super::told::about;
use super::{Guests, migration, types};
use crate::host::{HostState, Stop};
use crate::report::Page;
use wasmtime::Store;

/// What `migrate` returns.
pub type Moved = Result<migration::Next, types::Failure>;

impl Guests {
    /// The version under which it keeps its state; 0 where it numbers none.
    pub async fn state_version(&self, store: &mut Store<HostState>) -> wasmtime::Result<u32> {
        match &self.migration {
            Some(guest) => guest.call_version(store).await,
            None => Ok(0),
        }
    }

    /// Has it bring a page of its state over.
    pub async fn migrate(&self, store: &mut Store<HostState>, page: &Page) -> wasmtime::Result<Moved> {
        let guest = self.migration.as_ref().ok_or(Stop::Bug("who has no migration is not asked to migrate"))?;
        let entry = |entry: &beadle_store::StateEntry| migration::Entry {
            scope: about(entry.scope),
            key: entry.key.clone(),
            value: entry.value.clone(),
            expires_at: entry.expires_at.map(|at| at.as_ms()),
        };
        let page = migration::Page {
            from: page.from,
            number: page.number,
            entries: page.entries.iter().map(entry).collect(),
            last: page.last,
            extra: "{}".into(),
        };
        guest.call_migrate(store, &page).await
    }
}
