//! Why a schedule does not fire for a plugin, as `beadle check` and a running daemon say it.

/// What keeps a schedule from firing for a plugin that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The plugin does not export `on-schedule`.
    NotExported,
    /// The plugin is known and does not run.
    NotRunning,
    /// There is no file of this name.
    NoFile,
}

impl Obstacle {
    /// The code, which `beadle explain` documents.
    pub fn code(self) -> &'static str {
        match self {
            Obstacle::NotExported => "schedule-not-exported",
            Obstacle::NotRunning | Obstacle::NoFile => "schedule-plugin-unavailable",
        }
    }

    /// The message, with the names of the schedule and the plugin.
    pub fn message(self, schedule: &str, plugin: &str) -> String {
        let reason = match self {
            Obstacle::NotExported => "it does not export `on-schedule`",
            Obstacle::NotRunning => "it does not run",
            Obstacle::NoFile => "no plugin folder contains it",
        };
        format!("schedule `{schedule}` names the plugin `{plugin}`, but {reason}")
    }
}
