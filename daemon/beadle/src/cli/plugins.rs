//! `beadle plugins`: what runs, and the author's own commands.

use super::{Json, Page};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

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
    /// The text files that people wrote for one, and what lies there and is not taken
    Documents {
        /// Its name
        name: String,
        #[command(flatten)]
        json: Json,
    },
    /// What one remembers: by key, of itself or about somebody
    State {
        /// Its name
        name: String,
        /// About whom: con_… or cnv_…
        #[arg(long, value_name = "ID")]
        of: Option<String>,
        /// Only keys that begin so
        #[arg(long)]
        prefix: Option<String>,
        /// Only behind this key
        #[arg(long, value_name = "KEY")]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Make a folder with a plugin in it, its SDK and a test
    New(New),
    /// Build the plugin in a folder
    Build(Build),
    /// Give a plugin events in the sandbox and show what it does
    Test(Test),
    /// Give a plugin capabilities that it asks for
    Grant {
        /// Its name
        name: String,
        /// Such as messages; `beadle plugins show NAME` says what it asks for
        #[arg(required = true)]
        capabilities: Vec<String>,
    },
    /// Take back capabilities that were given by `grant`
    Revoke {
        /// Its name
        name: String,
        /// Such as messages
        #[arg(required = true)]
        capabilities: Vec<String>,
    },
    /// Go back to the revision before, and stay there until another file comes
    Rollback {
        /// Its name
        name: String,
        /// Also where its state was brought over since: what was written since then is lost
        #[arg(long)]
        discard_state: bool,
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
