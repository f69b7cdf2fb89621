//! The plugin's folder of text files: content that people write, read by the plugin. Granted to all; the operator says
//! where the folder is. A change comes as [`OnDocumentsChanged`](crate::OnDocumentsChanged).

use crate::{Refusal, host};

/// A document, without its text.
pub use crate::bindings::imports::documents::Document;

/// All documents, by name; none where no folder is configured.
pub fn list() -> Result<Vec<Document>, Refusal> {
    host::documents::list()
}

/// The text of a document, where there is one.
pub fn read(name: &str) -> Result<Option<String>, Refusal> {
    host::documents::read(name)
}
