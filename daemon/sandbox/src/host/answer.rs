//! What a host function returns: a value, a refusal, or the end of the call.

use crate::bindings::latest::types as wit;
use crate::text;
use beadle_model::Refusal;
use beadle_store::StoreError;

/// Why a host function ends the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("CPU limit exceeded")]
    Cpu,
    #[error("too many host calls")]
    HostCalls,
    #[error("too many effects")]
    Effects,
    #[error("too many bytes of effects")]
    EffectBytes,
    #[error("the event is not exported")]
    NotSubscribed,
    #[error("{0}")]
    Store(String),
    #[error("{0}")]
    Bug(&'static str),
}

/// Why a host function does not do what was requested.
pub enum HostError {
    /// The plugin gets a refusal, and the call continues.
    Refused(Refusal),
    /// The call ends.
    Stopped(Stop),
}

impl From<Refusal> for HostError {
    fn from(refusal: Refusal) -> Self {
        HostError::Refused(refusal)
    }
}

impl From<Stop> for HostError {
    fn from(stop: Stop) -> Self {
        HostError::Stopped(stop)
    }
}

impl From<StoreError> for HostError {
    fn from(error: StoreError) -> Self {
        HostError::Stopped(Stop::Store(error.to_string()))
    }
}

/// What a host function of the contract returns.
pub type Answer<T> = wasmtime::Result<Result<T, wit::Refusal>>;

/// Converts a result into the form that the bindings expect.
pub fn answer<T>(result: Result<T, HostError>) -> Answer<T> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(HostError::Refused(refusal)) => Ok(Err(shortened(refusal).into())),
        Err(HostError::Stopped(stop)) => Err(stop.into()),
    }
}

/// A refusal may quote what the guest passed, which may be long.
fn shortened(mut refusal: Refusal) -> Refusal {
    refusal.message = text::shortened(refusal.message);
    refusal.instead = refusal.instead.map(text::shortened);
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn refusal_that_quotes_a_long_text_is_truncated() {
        let long = "x".repeat(1 << 20);
        let refusal = Refusal::new("bad-id", format!("`{long}` is not an id.")).instead(long);
        let Ok(Err(returned)) = answer::<()>(Err(refusal.into())) else { panic!("not refused") };
        for text in [Some(returned.message), returned.instead] {
            assert!(text.is_some_and(|text| text.len() <= limits::REASON_BYTES + '…'.len_utf8()));
        }
    }
}
