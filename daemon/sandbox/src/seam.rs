//! Stands where `beadle_store::Reader` will, until it has landed. Knows nobody and has nothing.
#![allow(missing_docs, clippy::missing_errors_doc, reason = "gone with the next commit")]

use beadle_model::{Blame, Coded, Contact, ContactId, ConversationView, PluginNo, Scope, Timestamp};

#[derive(Debug, thiserror::Error)]
#[error("no store")]
pub struct StoreError;

impl Coded for StoreError {
    fn code(&self) -> &'static str {
        "no-store"
    }
    fn blame(&self) -> Blame {
        Blame::Host
    }
}

#[derive(Clone, Debug, Default)]
pub struct Reader;

type Read<T> = Result<T, StoreError>;

impl Reader {
    pub fn state_get(&self, _: PluginNo, _: Scope, _: &str, _: Timestamp) -> Read<Option<(Vec<u8>, i64)>> {
        Ok(None)
    }
    pub fn state_scan(
        &self,
        _: PluginNo,
        _: Scope,
        _: &str,
        _: Option<&str>,
        _: usize,
        _: Timestamp,
    ) -> Read<Vec<(String, Vec<u8>, i64)>> {
        Ok(vec![])
    }
    pub fn state_bytes(&self, _: PluginNo) -> Read<u64> {
        Ok(0)
    }
    pub fn contact(&self, _: ContactId) -> Read<Option<Contact>> {
        Ok(None)
    }
    pub fn contacts(&self, _: Option<ContactId>, _: usize) -> Read<Vec<Contact>> {
        Ok(vec![])
    }
    pub fn conversation_with(&self, _: ContactId, _: Option<&str>) -> Read<Option<ConversationView>> {
        Ok(None)
    }
}
