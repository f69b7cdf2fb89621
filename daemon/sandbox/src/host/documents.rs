//! `documents`: the text files of the plugin's folder, as copied into the store.
//!
//! They are listed once per handling and read as they were then. What is saved later belongs to the
//! next event.

use super::answer::{Answer, HostError, Stop, answer};
use super::host_state::HostState;
use crate::bindings::latest::documents::{Document, Host};
use beadle_store::Document as Listed;

impl Host for HostState {
    async fn list(&mut self) -> Answer<Vec<Document>> {
        self.enter()?;
        answer(self.list_documents())
    }

    async fn read(&mut self, name: String) -> Answer<Option<String>> {
        self.enter()?;
        answer(self.read_document(&name))
    }
}

impl HostState {
    /// The documents at the first request of this handling, sorted by name.
    fn listed(&mut self) -> Result<&[Listed], HostError> {
        self.event()?;
        if self.task.documents.is_none() {
            self.task.documents = Some(self.facts.reader.documents(self.facts.no)?);
        }
        Ok(self.task.documents.as_deref().unwrap_or_default())
    }

    fn list_documents(&mut self) -> Result<Vec<Document>, HostError> {
        let documents = self.listed()?.iter().map(|document| Document {
            name: document.name.clone(),
            size: document.size,
            seen_at: document.seen_at.as_ms(),
        });
        Ok(documents.collect())
    }

    fn read_document(&mut self, name: &str) -> Result<Option<String>, HostError> {
        let listed = self.listed()?;
        let Ok(index) = listed.binary_search_by(|document| document.name.as_str().cmp(name)) else { return Ok(None) };
        let Some(hash) = listed.get(index).map(|document| document.hash.clone()) else { return Ok(None) };
        match self.facts.reader.document_text(&hash)? {
            Some(text) => Ok(Some(text)),
            None => Err(Stop::Store(format!("document `{name}` changed while it was read")).into()),
        }
    }
}
