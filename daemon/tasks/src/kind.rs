//! The kinds of long-lived tasks, and the policy of each: one table.
//!
//! A kind shuts the daemon down when what it holds in memory cannot be rebuilt while everything
//! else runs on; a new process rebuilds it from disk. Every other kind is restarted, because a
//! daemon without it is still better than no daemon.

use std::fmt;
use std::time::Duration;

/// What follows when a task panics or returns an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Start it again after a growing pause.
    Restart,
    /// Shut the daemon down and give the reason.
    Shutdown,
}

/// How tasks of one kind are supervised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What follows a panic or an error.
    pub on_failure: OnFailure,
    /// A task that is neither idle nor has beaten for this long is stuck.
    pub stuck_after: Duration,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $on_failure:ident, $stuck_after_secs:literal;)*) => {
        /// What a long-lived task does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum TaskKind { $($(#[$doc])* $kind),* }

        impl TaskKind {
            /// All of them.
            pub const ALL: &[TaskKind] = &[$(TaskKind::$kind),*];

            /// Its name in logs, metrics and answers.
            pub const fn name(self) -> &'static str {
                match self { $(TaskKind::$kind => $name),* }
            }

            /// How it is supervised.
            pub const fn policy(self) -> Policy {
                match self {
                    $(TaskKind::$kind => Policy {
                        on_failure: OnFailure::$on_failure,
                        stuck_after: Duration::from_secs($stuck_after_secs),
                    }),*
                }
            }
        }
    };
}

kinds! {
    /// Writes to the database: the one connection that does, and its caches.
    StoreWriter = "store-writer", Shutdown, 60;
    /// Copies the write-ahead log into the database file.
    Checkpoint = "checkpoint", Restart, 60;
    /// Interrupts plugins that compute for too long.
    Epoch = "epoch", Restart, 30;
    /// Gives events to plugins.
    Dispatch = "dispatch", Shutdown, 15;
    /// Hands events that were kept for a plugin to it when it is available.
    Replay = "replay", Restart, 60;
    /// Sends messages.
    Outbox = "outbox", Shutdown, 15;
    /// Fires timers and schedules.
    Schedules = "schedules", Restart, 90;
    /// Reports windows that close.
    Windows = "windows", Restart, 90;
    /// Keeps plugins in line with their folders and the configuration.
    Plugins = "plugins", Restart, 120;
    /// Copies the documents that people write for plugins.
    Documents = "documents", Restart, 120;
    /// Creates the conversations of new channels; ends when it has.
    ChannelSetup = "channel-setup", Restart, 90;
    /// Reads the configuration again when it changes.
    Reload = "reload", Restart, 60;
    /// Downloads files that people sent.
    Media = "media", Restart, 600;
    /// Fetches the templates of the business accounts.
    Templates = "templates", Restart, 120;
    /// Compares the host's clock with WhatsApp's.
    ClockCheck = "clock-check", Restart, 120;
    /// Plans and sends broadcasts.
    Broadcasts = "broadcasts", Restart, 120;
    /// Sends durable requests of plugins.
    Requests = "requests", Restart, 120;
    /// Deletes what is past its retention time.
    Retention = "retention", Restart, 60;
    /// Carries out requests for copies of data, and erasures.
    Privacy = "privacy", Restart, 120;
    /// Reports health to systemd and to the log.
    Watchdog = "watchdog", Restart, 30;
    /// Accepts connections on `[http] listen`.
    HttpListener = "http-listener", Restart, 30;
    /// Accepts connections on `[admin] listen`.
    AdminListener = "admin-listener", Restart, 30;
    /// Accepts connections on `[admin] socket`.
    SocketListener = "socket-listener", Restart, 30;
    /// Follows the simulator's clock.
    ClockFollower = "clock-follower", Restart, 120;
}

impl TaskKind {
    /// The kind with this name.
    pub fn named(name: &str) -> Option<TaskKind> {
        TaskKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_resolve() {
        let names: BTreeSet<_> = TaskKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), TaskKind::ALL.len());
        for kind in TaskKind::ALL {
            assert_eq!(TaskKind::named(kind.name()), Some(*kind));
        }
        assert_eq!(TaskKind::named("lanes"), None);
    }
}
