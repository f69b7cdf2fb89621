//! The configuration: TOML files in, one typed value out, or every mistake at once.
//!
//! `files` finds and reads them, `tree` merges them, `read` takes typed values out of the tree, `sections` knows what
//! each section holds. Past this module the daemon sees plain values that have been checked: no strings to parse, no
//! secrets to fetch. It is not where anything is built or opened: a configuration can be checked on another machine.

mod difference;
mod files;
mod mistake;
mod read;
mod schedules;
mod secret;
mod sections;
mod tree;
pub mod units;

#[cfg(test)]
mod tests;

pub use difference::{Change, Flat, changes};
#[cfg(test)]
pub use mistake::CODES;
pub use mistake::Invalid;

use beadle_catalog::PluginConfig;
use beadle_model::LeadTimes;
use beadle_model::keyword::Language;
use beadle_pipeline::outbox::{OnAmbiguous, Pace};
use beadle_schedule::{Schedule, Zone};
use beadle_store::Retention;
use beadle_whatsapp::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/beadle/beadle.toml";
/// Where the daemon listens for the command line when nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/beadle/beadle.sock";

/// All that the operator decided.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// `[daemon]`
    pub daemon: Daemon,
    /// `[http]`
    pub http: Http,
    /// `[admin]`
    pub admin: Admin,
    /// `[keywords]`
    pub keywords: Keywords,
    /// `[contacts]`
    pub contacts: Contacts,
    /// `[apps.NAME]`
    pub apps: BTreeMap<String, App>,
    /// `[channels.NAME]`
    pub channels: BTreeMap<String, Channel>,
    /// `[outbox]`
    pub outbox: Outbox,
    /// `[windows]`
    pub windows: LeadTimes,
    /// `[media]`
    pub media: Media,
    /// `[plugins.NAME]`
    pub plugins: BTreeMap<String, PluginConfig>,
    /// `[[schedule]]`
    pub schedules: Vec<Arc<Schedule>>,
    /// `[retention]`
    pub retention: Retention,
    /// `[retention] removed_plugins`, in milliseconds
    pub retention_removed_ms: i64,
    /// `[log]`
    pub log: Log,
}

/// `[daemon]`: where its files are.
#[derive(Debug, PartialEq)]
pub struct Daemon {
    /// Database and compiled code.
    pub data_dir: PathBuf,
    /// Where plugins lie; the first folder with a stem wins.
    pub plugin_dirs: Vec<PathBuf>,
    /// How often they are looked at without being told of a change, in milliseconds of real time.
    pub poll_interval_ms: i64,
    /// For so long after a folder has gone its plugins go on, in milliseconds of real time.
    pub folder_grace_ms: i64,
    /// The zone of schedules that name none, and of members whose own is not known.
    pub timezone: Zone,
    /// For so long a start waits for its plugins.
    pub startup_timeout_ms: i64,
}

/// `[http]`: what the world may reach.
#[derive(Debug, PartialEq)]
pub struct Http {
    /// Serves `/webhooks/{app}` and nothing else.
    pub listen: SocketAddr,
}

/// `[admin]`: what only the machine may reach.
#[derive(Debug, PartialEq)]
pub struct Admin {
    /// Serves health, metrics and `/api/v1`; nobody is asked who they are.
    pub listen: SocketAddr,
    /// The same for the command line.
    pub socket: PathBuf,
}

/// `[keywords]`: how Beadle itself answers STOP, START, LEAVE and JOIN.
#[derive(Debug, PartialEq)]
pub struct Keywords {
    /// Who is speaking, in the answer.
    pub brand: String,
    /// For words that do not tell their language.
    pub language: Language,
}

/// `[contacts]`: what is taken of people before they tell.
#[derive(Debug, PartialEq)]
pub struct Contacts {
    /// They speak what is spoken where their number is from.
    pub language_from_number: bool,
}

/// `[apps.NAME]`: a Meta app; one callback, one secret, many numbers.
#[derive(Debug, PartialEq)]
pub struct App {
    /// Base of the Graph API, without a slash at the end.
    pub graph_url: String,
    /// `v26.0`
    pub graph_version: String,
    /// To send with.
    pub access_token: Secret,
    /// Webhooks are signed with it.
    pub app_secret: Secret,
    /// What the platform shows when it verifies the callback.
    pub verify_token: Secret,
}

/// `[channels.NAME]`: a number.
#[derive(Debug, PartialEq)]
pub struct Channel {
    /// The name of its app.
    pub app: String,
    /// By which its messages are found.
    pub phone_number_id: String,
    /// By which its account's news are found.
    pub business_account_id: Option<String>,
    /// The platform's limits.
    pub pace: Pace,
}

/// `[outbox]`
#[derive(Debug, PartialEq)]
pub struct Outbox {
    /// What becomes of a message of which nobody knows whether it went out.
    pub on_ambiguous: OnAmbiguous,
    /// How long a receipt may still come, in milliseconds of civil time.
    pub ambiguous_wait_ms: i64,
    /// Requests to the platform at the same time.
    pub max_in_flight: usize,
}

/// `[media]`
#[derive(Debug, PartialEq)]
pub struct Media {
    /// Files that come with messages are fetched while a plugin runs that may read them.
    pub fetch: bool,
    /// Larger ones are left where they are.
    pub max_file_bytes: u64,
}

/// `[log]`
#[derive(Debug, PartialEq)]
pub struct Log {
    /// `info`, or directives as `info,beadle_store=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// `[log] format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `Journal` where systemd reads it, else `Text`.
    Auto,
    /// With the time.
    Text,
    /// Without the time, with systemd's priority in front.
    Journal,
}

/// Looks up an environment variable.
pub type Variable = dyn Fn(&str) -> Option<String>;

/// What reading needs from outside of the files.
pub struct Surroundings {
    /// The process's environment.
    pub variable: Box<Variable>,
    /// A credential that cannot be looked up here is no mistake (`beadle check` in a shell).
    pub without_systemd: bool,
}

impl Surroundings {
    /// Those of this process.
    pub fn process() -> Self {
        Self { variable: Box::new(|name| std::env::var(name).ok()), without_systemd: false }
    }
}

/// A configuration that can be used, and what there is to say about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where it was read from.
    pub path: PathBuf,
    /// The files it came from, in the order read.
    pub files: Vec<PathBuf>,
    /// What the files say, key by key, as written.
    pub flat: Flat,
    /// What is worth a look and no mistake.
    pub notes: Vec<String>,
    /// Every key that was looked for, as `channels.*.app`: what the example file has to explain.
    #[cfg(test)]
    pub known: BTreeSet<String>,
}

/// Reads a file with its `conf.d` beside it, or a folder with `beadle.toml` and `conf.d` in it.
pub fn load(path: &Path, surroundings: &Surroundings) -> Result<Loaded, Invalid> {
    let mut mistakes = mistake::Mistakes::default();
    let found = files::read(path, &mut mistakes);
    let mut tree = tree::Table::default();
    for (number, source) in found.sources.iter().enumerate() {
        let one = tree::parse(number, &source.text, &mut mistakes);
        tree::merge(&mut tree, one, "", &mut mistakes);
    }
    let whole = mistakes.is_empty();
    let reading = read::Reading {
        mistakes: mistakes.into(),
        notes: Vec::new().into(),
        known: BTreeSet::new().into(),
        base: &found.base,
        surroundings,
    };
    let config = sections::config(&reading, &tree);
    let flat = difference::flat(&tree);
    let mut mistakes = reading.mistakes.into_inner();
    if !whole {
        mistakes.forget("config-missing");
    }
    if !mistakes.is_empty() {
        return Err(mistakes.into_error(found.sources));
    }
    let files = found.sources.into_iter().map(|source| source.path).collect();
    Ok(Loaded {
        config,
        path: path.to_owned(),
        files,
        flat,
        notes: reading.notes.into_inner(),
        #[cfg(test)]
        known: reading.known.into_inner(),
    })
}
