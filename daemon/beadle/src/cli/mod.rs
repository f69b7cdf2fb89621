//! The command line: what can be typed, and nothing about how it is done.
//!
//! Nouns are in the plural, `--json` stands wherever a table is printed, and everything but `run`, `demo`, `check` and
//! `explain` is a question to the daemon over its socket: there is no other way in.

mod client;
mod command;
mod plugins;
mod schedules;
mod show;
mod table;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use command::perform;
pub use plugins::{Build, Lang, New, Plugins, Test};
use schedules::Schedules;

use clap::{Args, Parser, Subcommand};
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
        /// evt_…, msg_…, hnd_…, con_… or whk_…, or a message id of the platform (wamid.…)
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
    #[command(subcommand, visible_alias = "dead")]
    DeadLetters(DeadLetters),
    /// What is to leave, or has left
    #[command(subcommand)]
    Outbox(Outbox),
    /// What fires when, and what became of it
    #[command(subcommand)]
    Schedules(Schedules),
    /// People
    #[command(subcommand)]
    Contacts(Contacts),
    /// Conversations that may be written to freely, and until when
    #[command(subcommand)]
    Windows(Windows),
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

/// Which events.
#[derive(Args, Clone, Debug, Default)]
pub struct EventFilter {
    /// Only this kind: message, reaction, member-joined, member-left, timer, schedule, message-status, unrouted
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

/// `beadle dead-letters`
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
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
        /// hnd_…, msg_… or whk_…
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Try again: a handling out of order and marked late, a webhook as this version reads it
    Retry {
        /// hnd_…, msg_… or whk_…
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Give up for good
    Drop {
        /// hnd_…, msg_… or whk_…
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
    /// Say which language somebody speaks, or where they live; an empty one is not known any more
    Set {
        /// con_…
        id: String,
        /// As in BCP 47, such as nl or pt-BR
        #[arg(long, value_name = "TAG", required_unless_present = "timezone")]
        language: Option<String>,
        /// Of the IANA list, such as Europe/Amsterdam
        #[arg(long, value_name = "ZONE")]
        timezone: Option<String>,
    },
    /// Pairs who may be the same person: a name of one came with the other. Nobody is merged by itself
    Duplicates {
        #[command(flatten)]
        page: Page,
    },
    /// Make one of two contacts: all that is the second's is the first's from then on
    Merge {
        /// Who stays: con_…
        keep: String,
        /// Who is one with them: con_…
        gone: String,
        /// Only say what would move
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Say that two contacts are two, so that they are not proposed again
    MarkDistinct {
        /// con_…
        one: String,
        /// con_…
        other: String,
    },
}

/// `beadle windows`
#[derive(Debug, Subcommand)]
pub enum Windows {
    /// Those that are open, the next to close at first
    List {
        /// On this channel
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// That close within this time, such as 2h or 30m
        #[arg(long, value_name = "TIME", value_parser = length_of_time)]
        within: Option<i64>,
        /// How many close in which hour from now, by channel
        #[arg(long, conflicts_with_all = ["channel", "within"])]
        by_hour: bool,
        #[command(flatten)]
        page: Page,
    },
}

/// Milliseconds.
fn length_of_time(text: &str) -> Result<i64, String> {
    let ms = crate::config::units::parse_ms(text).filter(|ms| *ms > 0);
    ms.ok_or_else(|| format!("write {}", crate::config::units::FORM))
}
