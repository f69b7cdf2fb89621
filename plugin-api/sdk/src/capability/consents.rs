//! The consent ledger: what people agreed to receive, with evidence. Must be granted.

use crate::host;
use crate::types::Refusal;

/// An entry of the ledger, and the decision that follows from a person's entries.
pub use crate::bindings::imports::consents::{Decision, Entry};

/// Whether the person agreed to messages for this purpose: `service`, `marketing`,
/// `marketing:TOPIC`, `group` or `survey`.
pub fn look_up(contact: &str, purpose: &str) -> Result<Decision, Refusal> {
    host::consents::look_up(contact, purpose)
}

/// All entries about the person, oldest first.
pub fn history(contact: &str) -> Result<Vec<Entry>, Refusal> {
    host::consents::history(contact)
}

/// Records that the person agreed. `whatsapp` is the source of a message of theirs that the plugin
/// handles; everything else counts once the person confirms it, and needs a wording.
pub fn record_grant(
    contact: &str,
    purpose: &str,
    source: &str,
    wording: Option<&str>,
    evidence: Option<&str>,
) -> Result<(), Refusal> {
    host::consents::record_grant(contact, purpose, source, wording, evidence)
}

/// Records that the person declined or withdrew. Takes effect at once, also for what is queued.
pub fn record_withdrawal(contact: &str, purpose: &str, source: &str, evidence: Option<&str>) -> Result<(), Refusal> {
    host::consents::record_withdrawal(contact, purpose, source, evidence)
}

impl Decision {
    /// Whether the person agreed.
    pub fn is_granted(&self) -> bool {
        self.state == "granted"
    }
}
