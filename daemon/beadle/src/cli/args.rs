//! What can be typed: commands, options and their help.
//!
//! Nouns are plural. Every list has `--json` and `--limit`. Names and ids are positional, filters are
//! options. The golden file `tests/cli/help.snap` holds every help text.

use crate::config::units;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Getting started:
  beadle demo           Try Beadle without a WhatsApp account
  beadle check          Check /etc/beadle/beadle.toml
  beadle status         Show what a running daemon is doing

Exit codes: 0 success, 1 failure, 2 usage error, 3 daemon not running";

/// Run a WhatsApp community with sandboxed plugins
#[derive(Debug, Parser)]
#[command(name = "beadle", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// The daemon's socket [default: $BEADLE_SOCKET, else /run/beadle/beadle.sock]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub socket: Option<PathBuf>,
    /// The command to run
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The daemon's socket: the option, else `$BEADLE_SOCKET`, else the packaged default.
    pub fn socket(&self) -> PathBuf {
        let from_environment = || std::env::var_os("BEADLE_SOCKET").map(PathBuf::from);
        self.socket.clone().or_else(from_environment).unwrap_or_else(|| crate::config::DEFAULT_SOCKET.into())
    }
}

/// `beadle COMMAND`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon in the foreground
    Run(RunArgs),
    /// Start a simulator and a daemon, and open a chat page
    Demo(DemoArgs),
    /// Check the configuration and report all errors
    Check(ConfigArg),
    /// Show the state of the daemon, its channels and plugins
    Status(Json),
    /// Create a token for the API on `[admin] listen`
    Token,
    /// Explain what happened to an event, message, handling or contact
    Why {
        /// Id: evt_…, msg_…, hnd_…, con_… or whk_…, or WhatsApp's message id (wamid.…)
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Explain an error code, or list all codes
    Explain {
        /// Error code, such as window-closed
        code: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Manage plugins, and create and test your own
    #[command(subcommand)]
    Plugins(Plugins),
    /// Show events: messages, timers, schedules and receipts
    #[command(subcommand)]
    Events(Events),
    /// Show, retry and drop what was given up
    #[command(subcommand, visible_alias = "dead")]
    DeadLetters(DeadLetters),
    /// Show messages that wait or were sent
    #[command(subcommand)]
    Outbox(Outbox),
    /// Show schedules and run them
    #[command(subcommand)]
    Schedules(Schedules),
    /// Show, edit and merge contacts
    #[command(subcommand)]
    Contacts(Contacts),
    /// Show open 24-hour reply windows
    #[command(subcommand)]
    Windows(Windows),
}

/// `--config`
#[derive(Args, Debug)]
pub struct ConfigArg {
    /// Configuration file (conf.d/ next to it is read too), or a folder with beadle.toml and conf.d/
    #[arg(long, value_name = "FILE_OR_DIR", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
}

/// `beadle run`
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    /// Follow a simulator's virtual clock instead of the system clock
    #[arg(long, value_name = "URL")]
    pub clock: Option<String>,
}

/// `beadle demo`
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Folder with the demo's plugins [default: where they were built or installed]
    #[arg(long, value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// Build the plugin in this folder, now and whenever a source is saved, and load it
    #[arg(long, value_name = "DIR")]
    pub watch: Vec<PathBuf>,
    /// Do not open a browser
    #[arg(long)]
    pub no_open: bool,
}

/// `--json`
#[derive(Args, Clone, Copy, Debug)]
pub struct Json {
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// `--limit` and `--json`
#[derive(Args, Clone, Debug)]
pub struct Page {
    /// Maximum number of results
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    #[command(flatten)]
    pub json: Json,
}

/// Filters of `events list` and `events tail`
#[derive(Args, Clone, Debug, Default)]
pub struct EventFilter {
    /// Filter by kind: message, reaction, member-joined, member-left, timer, schedule,
    /// message-status, unrouted and others
    #[arg(long)]
    pub kind: Option<String>,
    /// Filter by contact (con_…)
    #[arg(long, value_name = "ID")]
    pub contact: Option<String>,
    /// Filter by conversation (cnv_…)
    #[arg(long, value_name = "ID")]
    pub conversation: Option<String>,
    /// Filter by state: new, begun or finished
    #[arg(long)]
    pub state: Option<String>,
}

/// `beadle events`
#[derive(Debug, Subcommand)]
pub enum Events {
    /// List events, newest first
    List {
        #[command(flatten)]
        filter: EventFilter,
        /// List events before this one (evt_…)
        #[arg(long, value_name = "ID", conflicts_with = "follow")]
        before: Option<String>,
        /// Print the listed events oldest first, then new events as they arrive, until Ctrl-C
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Show an event, its handlings and messages
    Show {
        /// Event id (evt_…)
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Print new events as they arrive, until Ctrl-C
    Tail {
        #[command(flatten)]
        filter: EventFilter,
        /// Start after this event (evt_…) instead of now
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// Exit after this number of events
        #[arg(long, value_name = "N")]
        count: Option<u64>,
        #[command(flatten)]
        json: Json,
    },
}

/// `beadle dead-letters`
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List dead letters, newest first
    List {
        /// Filter by plugin
        #[arg(long, value_name = "NAME")]
        plugin: Option<String>,
        /// Print the listed dead letters oldest first, then new ones as they occur, until Ctrl-C
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Show a dead letter and its error
    Show {
        /// Id: hnd_… (handling), msg_… (message) or whk_… (rejected webhook)
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Retry once: handle the event out of order and marked late, send the message, or parse the
    /// webhook again
    Retry {
        /// Ids: hnd_…, msg_… or whk_…
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Discard permanently
    Drop {
        /// Ids: hnd_…, msg_… or whk_…
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

/// `beadle outbox`
#[derive(Debug, Subcommand)]
pub enum Outbox {
    /// List messages that are queued or being sent; with --state, others
    List {
        /// Filter by state: queued, sending, accepted, failed, dead or dropped
        #[arg(long)]
        state: Option<String>,
        /// Filter by plugin
        #[arg(long, value_name = "NAME")]
        plugin: Option<String>,
        /// Filter by conversation (cnv_…)
        #[arg(long, value_name = "ID")]
        conversation: Option<String>,
        /// List messages before this one (msg_…)
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        #[command(flatten)]
        page: Page,
    },
}

/// `beadle schedules`
#[derive(Debug, Subcommand)]
pub enum Schedules {
    /// List schedules with their next and last firing
    List {
        /// List schedules after this name
        #[arg(long, value_name = "NAME")]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a schedule, its settings and warnings
    Show {
        /// Schedule name
        name: String,
        #[command(flatten)]
        json: Json,
    },
    /// List the next times a schedule fires, with exclusions and clock changes
    Next {
        /// Schedule name
        name: String,
        /// Maximum number of results
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        json: Json,
    },
    /// Run a schedule now, outside its plan
    Run {
        /// Schedule name
        name: String,
        /// Show which events would be created, without creating them
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        json: Json,
    },
    /// List past firings of a schedule, newest first
    History {
        /// Schedule name
        name: String,
        /// List firings before this one (the number in the first column)
        #[arg(long, value_name = "ID", conflicts_with = "follow")]
        before: Option<i64>,
        /// Print the listed firings oldest first, then new ones as they occur, until Ctrl-C
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        page: Page,
    },
}

/// `beadle contacts`
#[derive(Debug, Subcommand)]
pub enum Contacts {
    /// List contacts, oldest first
    List {
        /// List contacts after this one (con_…)
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a contact, its ids and conversations
    Show {
        /// Contact id (con_…)
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Set a contact's language or time zone; an empty value clears it
    Set {
        /// Contact id (con_…)
        id: String,
        /// BCP 47 language tag, such as nl or pt-BR
        #[arg(long, value_name = "TAG", required_unless_present = "timezone")]
        language: Option<String>,
        /// IANA time zone, such as Europe/Amsterdam
        #[arg(long, value_name = "ZONE")]
        timezone: Option<String>,
    },
    /// List pairs of contacts that may be the same person
    Duplicates {
        #[command(flatten)]
        page: Page,
    },
    /// Merge the second contact into the first
    Merge {
        /// Contact that remains (con_…)
        keep: String,
        /// Contact to merge into it (con_…); its id remains valid
        remove: String,
        /// Show what would change, without changing it
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Mark two contacts as different people, so that they are not listed as duplicates
    MarkDistinct {
        /// First contact (con_…)
        one: String,
        /// Second contact (con_…)
        other: String,
    },
}

/// `beadle windows`
#[derive(Debug, Subcommand)]
pub enum Windows {
    /// List open windows, those closing first at the top
    List {
        /// Filter by channel
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// List windows that close within this time, such as 2h or 30m
        #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
        within: Option<i64>,
        /// Count windows by channel and hour until they close
        #[arg(long, conflicts_with_all = ["channel", "within"])]
        by_hour: bool,
        #[command(flatten)]
        page: Page,
    },
}

/// `beadle plugins`
#[derive(Debug, Subcommand)]
pub enum Plugins {
    /// List plugins and their state
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Show a plugin: state, capabilities, limits, settings schema
    Show {
        /// Plugin name: the file name without .wasm
        name: String,
        #[command(flatten)]
        json: Json,
    },
    /// List a plugin's documents, and files that were rejected
    Documents {
        /// Plugin name
        name: String,
        #[command(flatten)]
        page: Page,
    },
    /// List what a plugin has stored
    State {
        /// Plugin name
        name: String,
        /// List values about this contact or conversation (con_… or cnv_…) instead of the plugin's own
        #[arg(long, value_name = "ID")]
        of: Option<String>,
        /// Filter by key prefix
        #[arg(long)]
        prefix: Option<String>,
        /// List keys after this one
        #[arg(long, value_name = "KEY")]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Create a plugin project with SDK, example and test
    New(New),
    /// Build a plugin project
    Build(Build),
    /// Run a plugin on sample events and show its effects
    Test(Test),
    /// Grant requested capabilities to a plugin
    Grant {
        /// Plugin name
        name: String,
        /// Capabilities, such as messages; see `beadle plugins show NAME`
        #[arg(required = true, value_name = "CAPABILITY")]
        capabilities: Vec<String>,
    },
    /// Revoke capabilities that were granted with `plugins grant`
    Revoke {
        /// Plugin name
        name: String,
        /// Capabilities, such as messages
        #[arg(required = true, value_name = "CAPABILITY")]
        capabilities: Vec<String>,
    },
    /// Return to the previous revision, until the file changes
    Rollback {
        /// Plugin name
        name: String,
        /// Roll back even if the state was migrated, and discard what was written since
        #[arg(long)]
        discard_state: bool,
    },
    /// Enable a disabled or suspended plugin; events that wait are delivered first
    Enable {
        /// Plugin name
        name: String,
    },
    /// Disable a plugin: it receives no events, also after a restart
    Disable {
        /// Plugin name
        name: String,
    },
    /// Delete the state and timers of a removed plugin
    Purge {
        /// Plugin name
        name: String,
    },
}

/// `beadle plugins new`
#[derive(Args, Debug)]
pub struct New {
    /// Plugin name, also the name of its folder
    pub name: String,
    /// Programming language
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    pub lang: Lang,
    /// Folder in which to create the project folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub into: PathBuf,
}

/// `--lang`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// Rust, with the SDK
    Rust,
}

/// `beadle plugins build`
#[derive(Args, Debug)]
pub struct Build {
    /// Folder with the plugin's Cargo.toml
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// Folder for NAME.wasm, such as a plugin folder [default: the project's folder]
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// Build again whenever a source is saved, and report whether a running daemon loaded the result
    #[arg(long)]
    pub watch: bool,
}

/// `beadle plugins test`
#[derive(Args, Debug)]
pub struct Test {
    /// The plugin's .wasm file
    pub file: PathBuf,
    /// JSON file with an event or a list of events, or the name of a sample: text, button, list-row,
    /// image, advertisement, reaction, joined, left, timer, failed [default: all samples whose events
    /// the plugin exports]
    #[arg(long, value_name = "EVENT")]
    pub event: Vec<String>,
    /// Settings file, TOML or JSON
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Memory limit in MiB, as `limits.memory_mib`
    #[arg(long, value_name = "MIB")]
    pub memory_mib: Option<u32>,
    #[command(flatten)]
    pub json: Json,
}

fn duration_ms(text: &str) -> Result<i64, String> {
    let ms = units::parse_ms(text).filter(|ms| *ms > 0);
    ms.ok_or_else(|| format!("must be {}", units::FORM))
}
