//! The command line: what can be typed, and nothing about how it is done.
//!
//! Nouns are in the plural, `--json` stands wherever a table is printed, and everything but `run`, `demo`, `check` and
//! `explain` is a question to the daemon over its socket: there is no other way in.

mod client;
mod command;
mod show;
mod table;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use command::perform;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Runs a community on WhatsApp, with sandboxed plugins.
#[derive(Debug, Parser)]
#[command(name = "beadle", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the daemon is not running.")]
pub struct Cli {
    /// The daemon's socket [default: $BEADLE_SOCKET, else /run/beadle/beadle.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Where the daemon listens: as said, as the environment says, or where the package puts it.
    pub fn socket(&self) -> PathBuf {
        let from_environment = || std::env::var_os("BEADLE_SOCKET").map(PathBuf::from);
        self.socket.clone().or_else(from_environment).unwrap_or_else(|| crate::config::DEFAULT_SOCKET.into())
    }
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon in the foreground
    Run(RunArgs),
    /// Start a simulator and a daemon beside it, and open a chat page
    Demo(DemoArgs),
    /// Check the configuration and tell every mistake in it
    Check(ConfigArg),
    /// How the daemon is doing
    Status(Json),
    /// Why something happened, or did not: the story of an event, a message, a handling or a contact
    Why {
        /// evt_…, msg_…, hnd_… or con_…, or a message id of the platform (wamid.…)
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// What an error code means and what to do about it
    Explain {
        /// Such as window-closed; without one, all of them are listed
        code: Option<String>,
    },
    /// Plugins that are loaded, or are not and why; and making new ones
    #[command(subcommand)]
    Plugins(Plugins),
    /// What happened
    #[command(subcommand)]
    Events(Events),
    /// What was given up and waits for your decision
    #[command(subcommand)]
    Dead(Dead),
    /// What is to leave, or has left
    #[command(subcommand)]
    Outbox(Outbox),
    /// People
    #[command(subcommand)]
    Contacts(Contacts),
}

/// Where the configuration is.
#[derive(Args, Debug)]
pub struct ConfigArg {
    /// A file (with conf.d/ beside it), or a folder with beadle.toml and conf.d/ in it
    #[arg(long, value_name = "FILE_OR_DIR", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
}

/// `beadle run`
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    /// Follow a simulator's virtual clock instead of the machine's
    #[arg(long, value_name = "URL")]
    pub clock: Option<String>,
}

/// `beadle demo`
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Where the demo's plugins lie [default: where they were built or installed]
    #[arg(long, value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// The folder of a plugin's sources: built now and whenever you save, and taken into the demo
    #[arg(long, value_name = "DIR")]
    pub watch: Vec<PathBuf>,
    /// Do not open a browser
    #[arg(long)]
    pub no_open: bool,
}

/// The form of the answer.
#[derive(Args, Clone, Copy, Debug)]
pub struct Json {
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// How much of a list.
#[derive(Args, Clone, Debug)]
pub struct Page {
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    #[command(flatten)]
    pub json: Json,
}

/// `beadle plugins`
#[derive(Debug, Subcommand)]
pub enum Plugins {
    /// All of them
    List(Json),
    /// One of them
    Show {
        /// Its name: the file's, without .wasm
        name: String,
        #[command(flatten)]
        json: Json,
    },
    /// Make a folder with a plugin in it, its SDK and a test
    New(New),
    /// Build the plugin in a folder
    Build(Build),
    /// Give a plugin events in the sandbox and show what it does
    Test(Test),
    /// Give a plugin rights that it asks for
    Grant {
        /// Its name
        name: String,
        /// Such as messages; `beadle plugins show NAME` says what it asks for
        #[arg(required = true)]
        rights: Vec<String>,
        /// Take back what was given by this command
        #[arg(long)]
        take_back: bool,
    },
    /// Go back to the revision before, and stay there until another file comes
    Rollback {
        /// Its name
        name: String,
        /// Also where its state was brought over since: what was written since then is lost
        #[arg(long)]
        lose_state: bool,
    },
    /// Switch a plugin on again, or have one asked again that is suspended; what waits for it comes first
    Enable {
        /// Its name
        name: String,
    },
    /// Switch a plugin off: it gets no events, also after a start
    Disable {
        /// Its name
        name: String,
    },
    /// Forget the state and timers of a plugin whose file is gone
    Purge {
        /// Its name
        name: String,
    },
}

/// `beadle plugins new`
#[derive(Args, Debug)]
pub struct New {
    /// Its name, and its folder's
    pub name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    pub lang: Lang,
    /// Where its folder is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub into: PathBuf,
}

/// What a new plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// Rust, with the SDK
    Rust,
}

/// `beadle plugins build`
#[derive(Args, Debug)]
pub struct Build {
    /// Where its Cargo.toml is
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// Where NAME.wasm is put, such as a plugin folder [default: the plugin's own folder]
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// Build again whenever a source is saved, and tell what a running daemon makes of it
    #[arg(long)]
    pub watch: bool,
}

/// `beadle plugins test`
#[derive(Args, Debug)]
pub struct Test {
    /// The plugin's file
    pub file: PathBuf,
    /// A file with an event (or a list of them) as JSON, or a sample: text, button, list-row, image, advertisement,
    /// reaction, joined, left, timer, failed [default: every sample that the plugin subscribes to]
    #[arg(long, value_name = "EVENT")]
    pub event: Vec<String>,
    /// A file with its settings: TOML, or JSON
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Its memory, as `limits.memory_mib` has it
    #[arg(long, value_name = "MIB")]
    pub memory_mib: Option<u32>,
    #[command(flatten)]
    pub json: Json,
}

/// Which events.
#[derive(Args, Clone, Debug, Default)]
pub struct EventFilter {
    /// Only this kind: message, reaction, member-joined, member-left, timer, message-status, unrouted
    #[arg(long)]
    pub kind: Option<String>,
    /// Only of this person: con_…
    #[arg(long)]
    pub contact: Option<String>,
    /// Only in this conversation: cnv_…
    #[arg(long)]
    pub conversation: Option<String>,
    /// Only those that are so far: new, begun, finished
    #[arg(long)]
    pub state: Option<String>,
}

/// `beadle events`
#[derive(Debug, Subcommand)]
pub enum Events {
    /// The latest, newest first
    List {
        #[command(flatten)]
        filter: EventFilter,
        /// Only before this one: evt_…
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// One of them, with all that became of it
    Show {
        /// evt_…
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// New ones as they come, until you press Ctrl-C
    Tail {
        #[command(flatten)]
        filter: EventFilter,
        /// Begin behind this one instead of now: evt_…
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// End after so many
        #[arg(long, value_name = "N")]
        count: Option<u64>,
        #[command(flatten)]
        json: Json,
    },
}

/// `beadle dead`
#[derive(Debug, Subcommand)]
pub enum Dead {
    /// All of them, the newest first
    List {
        /// Only of this plugin
        #[arg(long)]
        plugin: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// One of them
    Show {
        /// hnd_… or msg_…
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Try again, out of order and marked late
    Retry {
        /// hnd_… or msg_…
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Give up for good
    Drop {
        /// hnd_… or msg_…
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// `beadle outbox`
#[derive(Debug, Subcommand)]
pub enum Outbox {
    /// What waits or is on its way; with --state, what left
    List {
        /// queued, sending, accepted, failed, dead, dropped
        #[arg(long)]
        state: Option<String>,
        /// Only of this plugin
        #[arg(long)]
        plugin: Option<String>,
        /// Only in this conversation: cnv_…
        #[arg(long)]
        conversation: Option<String>,
        /// Only before this one: msg_…
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        #[command(flatten)]
        page: Page,
    },
}

/// `beadle contacts`
#[derive(Debug, Subcommand)]
pub enum Contacts {
    /// All of them, the longest known first
    List {
        /// Only behind this one: con_…
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// One of them
    Show {
        /// con_…
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Pairs who may be the same person: a name of one came with the other. Nobody is merged by itself
    Proposals {
        #[command(flatten)]
        page: Page,
    },
}
