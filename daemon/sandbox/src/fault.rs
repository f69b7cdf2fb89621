//! How a call can fail, as data: what happened, whose fault it is, and which line of TOML would have helped.
//!
//! A plugin's author and an operator read the same sentence, so it names the plugin, the event, the limit and its key.
//! Programs read [`FaultKind`] and the code. What to do about a fault (try again, dead letter, suspend) is not decided
//! here.

use beadle_model::{Blame, Coded, EventId};
use std::fmt;
use std::sync::Arc;

/// What ended a call before its time. Nothing it asked for is done, and its instance is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// In which plugin.
    pub plugin: Arc<str>,
    /// What it was doing.
    pub during: During,
    /// The guest's functions that were running, innermost first, where they have names.
    pub backtrace: Vec<String>,
}

/// What a plugin was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// It was being loaded.
    Loading,
    /// It was bringing its state over.
    Migrating,
    /// It handled this event.
    Event(EventId),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// It trapped: a panic of its own, memory out of bounds, a division by zero.
    Trap {
        /// The runtime's word for it.
        what: String,
    },
    /// `limits.cpu_ms`.
    CpuLimit {
        /// As configured.
        cpu_ms: u32,
    },
    /// `limits.wall_ms`.
    WallLimit {
        /// As configured.
        wall_ms: u32,
    },
    /// `limits.memory_mib`, however the plugin took the news.
    MemoryLimit {
        /// As configured.
        memory_mib: u32,
    },
    /// Recursion without end.
    StackOverflow,
    /// Too many host calls.
    HostCalls {
        /// The limit.
        most: u32,
    },
    /// `limits.effects`.
    EffectLimit {
        /// As configured.
        effects: u32,
    },
    /// No instance could be made.
    Instantiate {
        /// What the runtime says.
        what: String,
    },
    /// The plugin says that it may go better next time.
    Retry {
        /// Its reason.
        reason: String,
    },
    /// The plugin says that it never will.
    GiveUp {
        /// Its reason.
        reason: String,
    },
    /// The plugin does not export this event: it should never have been asked.
    NotSubscribed,
    /// Beadle's own code panicked.
    HostPanic {
        /// What it said.
        what: String,
    },
    /// The store could not be read.
    StoreFailed {
        /// What it says.
        what: String,
    },
}

impl Fault {
    /// The plugin said so itself, and ran to its end: no trap and no limit.
    pub fn is_its_word(&self) -> bool {
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
            FaultKind::EffectLimit { .. } => "effect-limit",
            FaultKind::Instantiate { .. } => "instantiate-failed",
            FaultKind::Retry { .. } => "plugin-retry",
            FaultKind::GiveUp { .. } => "plugin-gave-up",
            FaultKind::NotSubscribed => "not-subscribed",
            FaultKind::HostPanic { .. } => "host-panic",
            FaultKind::StoreFailed { .. } => "store-failed",
        }
    }

    fn blame(&self) -> Blame {
        match self.kind {
            FaultKind::NotSubscribed | FaultKind::HostPanic { .. } => Blame::Host,
            FaultKind::StoreFailed { .. } => Blame::Operator,
            _ => Blame::Plugin,
        }
    }

    /// All but "give up": a limit may be met by chance, and a trap by what the plugin remembered.
    fn retried(&self) -> bool {
        !matches!(self.kind, FaultKind::GiveUp { .. } | FaultKind::NotSubscribed)
    }
}

impl std::error::Error for Fault {}

/// One or two sentences; the backtrace is not in them.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plugin = &self.plugin;
        write!(f, "Plugin `{plugin}` ")?;
        self.kind.fmt(f)?;
        match self.during {
            During::Event(event) => write!(f, " while it handled {event}.")?,
            During::Loading => f.write_str(" while it was being loaded.")?,
            During::Migrating => f.write_str(" while it brought its state over.")?,
        }
        match self.kind.key() {
            Some(key) => {
                write!(f, " The limit is `[plugins.{plugin}] limits.{key}`; raise it if the plugin needs more.")
            }
            None => Ok(()),
        }
    }
}

impl FaultKind {
    /// The limit to raise, where there is one.
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

/// What it did, as the middle of a sentence.
impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::Trap { what } => write!(f, "trapped ({what})"),
            FaultKind::CpuLimit { cpu_ms } => write!(f, "used more than its {cpu_ms} ms of CPU"),
            FaultKind::WallLimit { wall_ms } => write!(f, "took longer than its {wall_ms} ms"),
            FaultKind::MemoryLimit { memory_mib } => write!(f, "wanted more than its {memory_mib} MiB of memory"),
            FaultKind::StackOverflow => f.write_str("ran out of stack (recursion without end?)"),
            FaultKind::HostCalls { most } => write!(f, "called the host more than {most} times"),
            FaultKind::EffectLimit { effects } => write!(f, "asked for more than {effects} effects"),
            FaultKind::Instantiate { what } => write!(f, "could not be started ({what})"),
            FaultKind::Retry { reason } => write!(f, "asked to be tried again ({reason})"),
            FaultKind::GiveUp { reason } => write!(f, "gave up ({reason})"),
            FaultKind::NotSubscribed => f.write_str("was given a kind of event that it does not export"),
            FaultKind::HostPanic { what } => write!(f, "met a bug in Beadle ({what})"),
            FaultKind::StoreFailed { what } => write!(f, "could not read its state ({what})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_plugin_event_limit_and_key() {
        let mut fault = Fault {
            kind: FaultKind::MemoryLimit { memory_mib: 32 },
            plugin: "polls".into(),
            during: During::Event(EventId(7)),
            backtrace: vec![],
        };
        assert_eq!(
            fault.to_string(),
            "Plugin `polls` wanted more than its 32 MiB of memory while it handled evt_7. \
             The limit is `[plugins.polls] limits.memory_mib`; raise it if the plugin needs more."
        );
        fault.kind = FaultKind::GiveUp { reason: "no such list".into() };
        fault.during = During::Loading;
        assert_eq!(fault.to_string(), "Plugin `polls` gave up (no such list) while it was being loaded.");
        assert!(!fault.retried());
    }
}
