//! The checked configuration, as the rest of the daemon sees it.

use super::hooks::HookSettings;
use beadle_catalog::PluginConfig;
use beadle_egress::{EgressSettings, PolicySpec};
use beadle_gatekeeper::Policy;
use beadle_model::LeadTimes;
use beadle_model::consent::rules::ConsentRules;
use beadle_model::keyword::Language;
use beadle_model::profile::AttributeTypes;
use beadle_pipeline::outbox::{OnAmbiguous, Pace};
use beadle_schedule::{Schedule, Zone};
use beadle_segments::Definitions;
use beadle_store::Retention;
use beadle_whatsapp::Secret;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
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
    /// `[consents]`
    pub consents: ConsentRules,
    /// `[consents.form]`
    pub consent_form: Option<ConsentForm>,
    /// `[segments.NAME]`
    pub segments: Definitions,
    /// `[apps.NAME]`
    pub apps: BTreeMap<String, App>,
    /// `[channels.NAME]`
    pub channels: BTreeMap<String, Channel>,
    /// `[outbox]`
    pub outbox: Outbox,
    /// `[gate]`, without what other sections say
    pub gate: Policy,
    /// `[broadcasts]`
    pub broadcasts: beadle_broadcast::Settings,
    /// `[windows]`
    pub windows: LeadTimes,
    /// `[media]`
    pub media: Media,
    /// `[plugins.NAME]`
    pub plugins: BTreeMap<String, PluginConfig>,
    /// `[egress]`
    pub egress: EgressSettings,
    /// `[[plugins.NAME.egress]]` and `[plugins.NAME.secrets]`, of plugins that have any
    pub policies: BTreeMap<String, PolicySpec>,
    /// `[[plugins.NAME.hooks]]`, of plugins that have any
    pub hooks: BTreeMap<String, Vec<HookSettings>>,
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
    /// How often the plugin folders are checked without a notification, in milliseconds of real
    /// time.
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
    /// Serves `/webhooks/{app}`, `/hooks/{plugin}/{name}`, `/opt-in/{wording}` and nothing else.
    pub listen: SocketAddr,
    /// Requests come through a proxy, which appends the client's address to `X-Forwarded-For`.
    pub behind_proxy: bool,
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
    /// It is served on the socket only.
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
    /// The declared attributes.
    pub attributes: AttributeTypes,
}

/// `[consents.form]`: a web form by which people opt in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentForm {
    /// The wordings that it offers, by name.
    pub wordings: Vec<String>,
    /// Where it is on the internet, without a trailing slash.
    pub url: String,
    /// The channel that asks people who have not written yet.
    pub channel: String,
    /// Origins of the operator's own sites, which may have forms that are sent here.
    pub origins: Vec<String>,
    /// Where the operator says how personal data is used.
    pub privacy_url: Option<String>,
    /// The maximum number of requests of all people together in a minute.
    pub max_per_minute: u32,
    /// The maximum number of requests of all people together in 24 hours.
    pub max_per_day: u32,
}

/// `[apps.NAME]`: a Meta app, with one callback URL and any number of channels.
#[derive(Debug, PartialEq)]
pub struct App {
    /// Base URL of the Graph API, without a trailing slash.
    pub graph_url: String,
    /// The business portfolio; the app's own name if there is none.
    pub portfolio: Option<String>,
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
    /// The number that people write to, as digits with country code; WhatsApp is asked if there is
    /// none.
    pub phone_number: Option<String>,
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
