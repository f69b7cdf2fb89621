//! The error of one step of a load. It names the step and carries a code, for `beadle status` and
//! `beadle explain`.

use beadle_model::{Blame, Coded};
use beadle_sandbox::LoadError;
use beadle_store::StoreError;

/// Why a step rejected a revision.
#[derive(Debug)]
pub(crate) struct StepError {
    pub step: &'static str,
    pub code: &'static str,
    /// The reason and what to do, without a full stop.
    pub reason: String,
    /// Not the plugin's fault and likely to pass: the load is repeated without a change.
    pub transient: bool,
}

impl StepError {
    /// A reason that stays until the file or its configuration changes.
    pub fn permanent(step: &'static str, code: &'static str, reason: impl Into<String>) -> Self {
        Self { step, code, reason: reason.into(), transient: false }
    }

    /// A reason that is likely to pass.
    pub fn transient(step: &'static str, code: &'static str, reason: impl Into<String>) -> Self {
        Self { transient: true, ..Self::permanent(step, code, reason) }
    }

    /// The store could not be read or written.
    pub fn store(step: &'static str, error: &StoreError) -> Self {
        Self::transient(step, error.code(), error.to_string())
    }
}

impl From<LoadError> for StepError {
    fn from(error: LoadError) -> Self {
        let transient = error.blame() == Blame::Host;
        Self { step: error.step(), code: error.code(), reason: error.to_string(), transient }
    }
}

/// Runs blocking work on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let ended = tokio::task::spawn_blocking(work).await;
    // The work reads and writes files; a panic there is a bug of ours and says nothing about the
    // plugin.
    ended.unwrap_or_else(|error| Err(StepError::transient("read", "plugin-unreadable", error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages_of_the_host_are_not_blamed_on_the_plugin() {
        let error = StepError::from(LoadError::HostResources { reason: "mmap failed".into() });
        assert!(error.transient && error.code == "host-resources-exhausted", "{error:?}");
        let error = StepError::from(LoadError::HostPanic { reason: "index out of bounds".into() });
        assert!(error.transient && error.code == "host-panic", "{error:?}");
        let error = StepError::from(LoadError::Compile { reason: "unknown instruction".into() });
        assert!(!error.transient && error.code == "compile-failed", "{error:?}");
    }

    #[tokio::test]
    async fn panic_in_blocking_work_is_transient() {
        let error = blocking::<()>(|| panic!("a bug")).await.unwrap_err();
        assert!(error.transient && error.reason.contains("panicked"), "{error:?}");
    }
}
