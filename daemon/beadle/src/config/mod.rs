//! The configuration: from TOML files to one typed, validated value, or to all errors at once.
//!
//! `files` reads the files, `tree` merges them, `read` has typed readers, `sections` and `schedules` define
//! the keys. The rest of the daemon sees only checked values: no text to parse, no secrets to fetch. Nothing
//! is opened or started here, so a configuration can be checked on another machine.

mod diagnostic;
mod difference;
mod files;
mod read;
mod schedules;
mod secret;
mod sections;
mod tree;
pub mod units;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub use diagnostic::CODES;
pub use diagnostic::Invalid;
pub use difference::{Change, Flat, changes};

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

/// The configuration file if `--config` is not given.
pub const DEFAULT_PATH: &str = "/etc/beadle/beadle.toml";
/// The daemon's socket unless configured.
pub const DEFAULT_SOCKET: &str = "/run/beadle/beadle.sock";

/// The whole configuration.
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

/// `[daemon]`: files, plugin folders, start.
#[derive(Debug, PartialEq)]
pub struct Daemon {
    /// Database, files and compiled plugins.
    pub data_dir: PathBuf,
    /// Plugin folders; the first that contains a name wins.
    pub plugin_dirs: Vec<PathBuf>,
    /// How often the plugin folders are checked without a notification, in milliseconds of real time.
    pub poll_interval_ms: i64,
    /// How long plugins of a missing folder stay active, in milliseconds of real time.
    pub folder_grace_ms: i64,
    /// Time zone of schedules without one, and of members whose zone is unknown.
    pub timezone: Zone,
    /// How long a start waits for plugins, in milliseconds of real time.
    pub startup_timeout_ms: i64,
}

/// `[http]`: the public address.
#[derive(Debug, PartialEq)]
pub struct Http {
    /// Serves `/webhooks/{app}` and nothing else.
    pub listen: SocketAddr,
}

/// `[admin]`: the local address and socket.
#[derive(Debug, PartialEq)]
pub struct Admin {
    /// Serves health and metrics; nothing listens if there is none.
    pub listen: Option<SocketAddr>,
    /// Who may use `/api/v1` there.
    pub api: ApiAccess,
    /// Serves everything, as a Unix socket.
    pub socket: PathBuf,
}

/// Who may use `/api/v1` on `[admin] listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiAccess {
    /// Nobody; it is served on the socket only.
    Closed,
    /// Requests with the token of this SHA-256 hash.
    Token([u8; 32]),
    /// Everyone who reaches the address.
    Open,
}

/// `[keywords]`: how Beadle answers STOP, START, LEAVE and JOIN.
#[derive(Debug, PartialEq)]
pub struct Keywords {
    /// Sender's name in the answer.
    pub brand: String,
    /// Language of the answer if the word does not determine it.
    pub language: Language,
}

/// `[contacts]`: assumptions about contacts.
#[derive(Debug, PartialEq)]
pub struct Contacts {
    /// Guess a contact's language from the country of the phone number.
    pub language_from_number: bool,
}

/// `[apps.NAME]`: a Meta app, with one callback URL and any number of channels.
#[derive(Debug, PartialEq)]
pub struct App {
    /// Base URL of the Graph API, without a trailing slash.
    pub graph_url: String,
    /// `v26.0`
    pub graph_version: String,
    /// For requests to the Graph API.
    pub access_token: Secret,
    /// Verifies the signature of webhooks.
    pub app_secret: Secret,
    /// Expected when WhatsApp verifies the callback URL.
    pub verify_token: Secret,
}

/// `[channels.NAME]`: a WhatsApp phone number.
#[derive(Debug, PartialEq)]
pub struct Channel {
    /// The name of its app.
    pub app: String,
    /// Identifies the channel in messages and receipts.
    pub phone_number_id: String,
    /// Identifies the channel in account notifications.
    pub business_account_id: Option<String>,
    /// WhatsApp's rate limits.
    pub pace: Pace,
}

/// `[outbox]`
#[derive(Debug, PartialEq)]
pub struct Outbox {
    /// What to do with a message of unknown outcome.
    pub on_ambiguous: OnAmbiguous,
    /// How long to wait for its receipt, in milliseconds of civil time.
    pub ambiguous_wait_ms: i64,
    /// Concurrent requests per channel.
    pub max_in_flight: usize,
}

/// `[media]`
#[derive(Debug, PartialEq)]
pub struct Media {
    /// Download received files while a running plugin may read them.
    pub fetch: bool,
    /// Larger files are not downloaded.
    pub max_file_bytes: u64,
}

/// `[log]`
#[derive(Debug, PartialEq)]
pub struct Log {
    /// `info`, or directives such as `info,beadle_store=debug`.
    pub level: String,
    /// The form of a log line.
    pub format: LogFormat,
}

/// `[log] format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `Journal` if stderr is connected to the journal, else `Text`.
    Auto,
    /// With a time stamp.
    Text,
    /// Without a time stamp, with systemd's priority prefix.
    Journal,
}

/// Returns the value of an environment variable.
pub type Variable = dyn Fn(&str) -> Option<String>;

/// What reading needs besides the files.
pub struct Environment {
    /// Environment variables.
    pub variable: Box<Variable>,
    /// Skip credentials instead of reporting an error, if systemd did not start the process (`beadle check`).
    pub without_systemd: bool,
}

impl Environment {
    /// The environment of this process.
    pub fn process() -> Self {
        Self { variable: Box::new(|name| std::env::var(name).ok()), without_systemd: false }
    }
}

/// A valid configuration and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The path that was loaded.
    pub path: PathBuf,
    /// The files, in the order in which they were read.
    pub files: Vec<PathBuf>,
    /// The keys and values as written.
    pub flat: Flat,
    /// Warnings.
    pub notes: Vec<String>,
    /// Every key that exists, with `*` for names: the example file must explain each.
    #[cfg(test)]
    pub known: BTreeSet<String>,
}

/// Reads a file with the `conf.d` next to it, or a folder with `beadle.toml` and `conf.d`.
pub fn load(path: &Path, environment: &Environment) -> Result<Loaded, Invalid> {
    let mut diagnostics = diagnostic::Diagnostics::default();
    let files = files::read(path, &mut diagnostics);
    let mut tree = tree::Table::default();
    for (number, source) in files.sources.iter().enumerate() {
        let one = tree::parse(number, &source.text, &mut diagnostics);
        tree::merge(&mut tree, one, "", &mut diagnostics);
    }
    let is_complete = diagnostics.is_empty();
    let context = read::Context {
        diagnostics: diagnostics.into(),
        notes: Vec::new().into(),
        known: BTreeSet::new().into(),
        base: &files.base,
        environment,
    };
    let config = sections::config(&context, &tree);
    let flat = difference::flat(&tree);
    let mut diagnostics = context.diagnostics.into_inner();
    // A key may be missing only because its file could not be parsed.
    if !is_complete {
        diagnostics.remove("config-missing");
    }
    if !diagnostics.is_empty() {
        return Err(diagnostics.into_error(files.sources));
    }
    let paths = files.sources.into_iter().map(|source| source.path).collect();
    Ok(Loaded {
        config,
        path: path.to_owned(),
        files: paths,
        flat,
        notes: context.notes.into_inner(),
        #[cfg(test)]
        known: context.known.into_inner(),
    })
}
