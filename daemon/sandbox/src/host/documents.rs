//! `documents`: the text files that people wrote for this plugin, as the store has them.
//!
//! They are listed once for a handling, and read as they were then: what is saved meanwhile comes with the next event.

use super::{Answer, HostState, No, Stop, answer};
use crate::abi::latest::documents::{Document, Host};
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
    /// As they were when this handling asked first.
    fn listed(&mut self) -> Result<&[Listed], No> {
        self.event()?;
        if self.task.documents.is_none() {
            self.task.documents = Some(self.facts.reader.documents(self.facts.no)?);
        }
        Ok(self.task.documents.as_deref().unwrap_or_default())
    }

    fn list_documents(&mut self) -> Result<Vec<Document>, No> {
        let told = self.listed()?.iter().map(|document| Document {
            name: document.name.clone(),
            size: document.size,
            seen_at: document.seen_at.as_ms(),
        });
        Ok(told.collect())
    }

    fn read_document(&mut self, name: &str) -> Result<Option<String>, No> {
        let listed = self.listed()?;
        let Ok(place) = listed.binary_search_by(|document| document.name.as_str().cmp(name)) else { return Ok(None) };
        let Some(hash) = listed.get(place).map(|document| document.hash.clone()) else { return Ok(None) };
        match self.facts.reader.document_text(&hash)? {
            Some(text) => Ok(Some(text)),
            None => Err(Stop::Store(format!("the document `{name}` changed while it was being read")).into()),
        }
    }
}
