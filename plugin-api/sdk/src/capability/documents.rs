//! The plugin's folder of text files, as configured by the operator. Granted by default. Changes
//! are delivered as [`OnDocumentsChanged`](crate::OnDocumentsChanged).

use crate::host;
use crate::types::Refusal;

/// A document, without its text.
pub use crate::bindings::imports::documents::Document;

/// All documents, sorted by name. Empty if no folder is configured.
pub fn list() -> Result<Vec<Document>, Refusal> {
    host::documents::list()
}

/// The text of a document, if there is one of this name.
pub fn read(name: &str) -> Result<Option<String>, Refusal> {
    host::documents::read(name)
}
