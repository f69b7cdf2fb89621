//! How a call failed: the cause as data, who is to blame, and the setting that would have helped.
//!
//! Authors and operators read the same sentence, so it names the plugin, the event, the limit and
//! the key in TOML. What happens after a fault (retry, dead letter, suspension) is decided in
//! `beadle-pipeline`.

use crate::shortage;
use beadle_model::{Blame, Coded, EventId};
use std::fmt;
use std::sync::Arc;

/// Why a call ended without a result. None of its effects are carried out, and its instance is
/// gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The cause.
    pub kind: FaultKind,
    /// The plugin.
    pub plugin: Arc<str>,
    /// What the plugin was doing.
    pub during: During,
    /// The guest functions that were running, innermost first, as far as they have names.
    pub backtrace: Vec<String>,
}

/// What a plugin was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// It was being loaded.
    Loading,
    /// It was migrating its state.
    Migrating,
    /// It was exporting what it keeps about a person.
    Exporting,
    /// It was handling this event.
    Event(EventId),
}

/// The cause of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// A trap: a panic in the plugin, an access out of bounds, a division by zero.
    Trap {
        /// The runtime's message.
        reason: String,
    },
    /// `limits.cpu_ms` exceeded.
    CpuLimit {
        /// As configured.
        cpu_ms: u32,
    },
    /// `limits.wall_ms` exceeded.
    WallLimit {
        /// As configured.
        wall_ms: u32,
    },
    /// `limits.memory_mib` exceeded, however the guest ended after it.
    MemoryLimit {
        /// As configured.
        memory_mib: u32,
    },
    /// The guest's stack is exhausted.
    StackOverflow,
    /// Too many calls of host functions.
    HostCalls {
        /// The limit.
        max: u32,
    },
    /// `limits.effects` exceeded.
    EffectLimit {
        /// As configured.
        effects: u32,
    },
    /// Too many bytes of effects.
    EffectBytes {
        /// The limit.
        max: usize,
    },
    /// No instance could be created.
    Instantiate {
        /// The runtime's message.
        reason: String,
    },
    /// The system refused memory, address space or threads that the plugin was entitled to.
    HostResources {
        /// The system's message.
        reason: String,
    },
    /// The plugin returned `retry`.
    Retry {
        /// Its reason.
        reason: String,
    },
    /// The plugin returned `give-up`.
    GiveUp {
        /// Its reason.
        reason: String,
    },
    /// The plugin does not export this event. Its subscriptions should have prevented the call.
    NotSubscribed,
    /// Beadle's own code panicked.
    HostPanic {
        /// The panic's message.
        reason: String,
    },
    /// The store could not be read.
    StoreFailed {
        /// The store's message.
        reason: String,
    },
}

impl Fault {
    /// The plugin returned the failure itself and ran to its end: no trap, no limit.
    pub fn is_returned(&self) -> bool {
        matches!(self.kind, FaultKind::Retry { .. } | FaultKind::GiveUp { .. })
    }
}

impl Coded for Fault {
    fn code(&self) -> &'static str {
        match self.kind {
            FaultKind::Trap { .. } => "trap",
            FaultKind::CpuLimit { .. } => "cpu-limit",
            FaultKind::WallLimit { .. } => "wall-limit",
            FaultKind::MemoryLimit { .. } => "memory-limit",
            FaultKind::StackOverflow => "stack-overflow",
            FaultKind::HostCalls { .. } => "host-call-limit",
            FaultKind::EffectLimit { .. } | FaultKind::EffectBytes { .. } => "effect-limit",
            FaultKind::Instantiate { .. } => "instantiate-failed",
            FaultKind::HostResources { .. } => shortage::CODE,
            FaultKind::Retry { .. } => "plugin-retry",
            FaultKind::GiveUp { .. } => "plugin-gave-up",
            FaultKind::NotSubscribed => "not-subscribed",
            FaultKind::HostPanic { .. } => "host-panic",
            FaultKind::StoreFailed { .. } => "store-failed",
        }
    }

    fn blame(&self) -> Blame {
        match self.kind {
            FaultKind::NotSubscribed | FaultKind::HostPanic { .. } | FaultKind::HostResources { .. } => Blame::Host,
            FaultKind::StoreFailed { .. } => Blame::Operator,
            _ => Blame::Plugin,
        }
    }

    /// A limit may be exceeded by chance, and a trap caused by what the instance remembered.
    fn retried(&self) -> bool {
        !matches!(self.kind, FaultKind::GiveUp { .. } | FaultKind::NotSubscribed)
    }
}

impl std::error::Error for Fault {}

/// One or two sentences, without the backtrace.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plugin = &self.plugin;
        write!(f, "plugin `{plugin}` {}", self.kind)?;
        match self.during {
            During::Event(event) => write!(f, " while handling {event}")?,
            During::Loading => f.write_str(" while it was loaded")?,
            During::Migrating => f.write_str(" while migrating its state")?,
            During::Exporting => f.write_str(" while exporting what it keeps about a person")?,
        }
        match self.kind.key() {
            Some(key) => write!(f, "; if it needs more, raise `[plugins.{plugin}] limits.{key}`"),
            None => Ok(()),
        }
    }
}

impl FaultKind {
    /// The key of the limit to raise.
    fn key(&self) -> Option<&'static str> {
        match self {
            FaultKind::CpuLimit { .. } => Some("cpu_ms"),
            FaultKind::WallLimit { .. } => Some("wall_ms"),
            FaultKind::MemoryLimit { .. } => Some("memory_mib"),
            FaultKind::EffectLimit { .. } => Some("effects"),
            _ => None,
        }
    }
}

/// The predicate of a sentence about the plugin.
impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::Trap { reason } => write!(f, "trapped ({reason})"),
            FaultKind::CpuLimit { cpu_ms } => write!(f, "exceeded its CPU limit of {cpu_ms} ms"),
            FaultKind::WallLimit { wall_ms } => write!(f, "exceeded its time limit of {wall_ms} ms"),
            FaultKind::MemoryLimit { memory_mib } => write!(f, "exceeded its memory limit of {memory_mib} MiB"),
            FaultKind::StackOverflow => f.write_str("overflowed its stack"),
            FaultKind::HostCalls { max } => write!(f, "exceeded the limit of {max} host calls"),
            FaultKind::EffectLimit { effects } => write!(f, "exceeded its limit of {effects} effects"),
            FaultKind::EffectBytes { max } => {
                write!(f, "exceeded the limit of {} MiB of effects in one call", max >> 20)
            }
            FaultKind::Instantiate { reason } => write!(f, "could not be instantiated ({reason})"),
            FaultKind::HostResources { reason } => write!(f, "was refused memory or threads by the system ({reason})"),
            FaultKind::Retry { reason } => write!(f, "asked for a retry ({reason})"),
            FaultKind::GiveUp { reason } => write!(f, "gave up ({reason})"),
            FaultKind::NotSubscribed => f.write_str("was called with an event that it does not export"),
            FaultKind::HostPanic { reason } => write!(f, "triggered a bug in Beadle ({reason})"),
            FaultKind::StoreFailed { reason } => write!(f, "could not read from the store ({reason})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_plugin_event_limit_and_key() {
        let mut fault = Fault {
            kind: FaultKind::MemoryLimit { memory_mib: 32 },
            plugin: "polls".into(),
            during: During::Event(EventId(7)),
            backtrace: vec![],
        };
        assert_eq!(
            fault.to_string(),
            "plugin `polls` exceeded its memory limit of 32 MiB while handling evt_7; \
             if it needs more, raise `[plugins.polls] limits.memory_mib`"
        );
        fault.kind = FaultKind::GiveUp { reason: "no such list".into() };
        fault.during = During::Loading;
        assert_eq!(fault.to_string(), "plugin `polls` gave up (no such list) while it was loaded");
        assert!(!fault.retried());
    }
}
