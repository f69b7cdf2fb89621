//! `documents`: the text files that people wrote for this plugin, as the store has them.

use super::{Answer, HostState, No, answer};
use crate::abi::latest::documents::{Document, Host};

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
    fn list_documents(&self) -> Result<Vec<Document>, No> {
        self.event()?;
        let documents = self.facts.reader.documents(self.facts.no)?;
        let told = documents.into_iter().map(|document| Document {
            name: document.name,
            size: document.size,
            seen_at: document.seen_at.as_ms(),
        });
        Ok(told.collect())
    }

    fn read_document(&self, name: &str) -> Result<Option<String>, No> {
        self.event()?;
        Ok(self.facts.reader.document(self.facts.no, name)?)
    }
}
