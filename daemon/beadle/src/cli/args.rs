//! What can be typed: commands, options and their help.
//!
//! Nouns are plural. Every list has `--json` and `--limit`. Names and ids are positional, filters
//! are options. The golden file `tests/cli/help.snap` holds every help text.

use crate::author::event;
use crate::config::units;
use beadle_catalog::grants;
use beadle_model::{
    BroadcastId, ContactId, ConversationId, EventId, EventKind, HandlingId, MessageId, RecipientState, RequestId,
    WebhookId, is_language_tag,
};
use beadle_schedule::Zone;
use beadle_store::DeadLetterRef;
use beadle_store::step::SendState;
use beadle_store::views::EventState;
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

const AFTER_HELP: &str = "\
Getting started:
  beadle demo           Try Beadle without a WhatsApp account
  beadle check          Check /etc/beadle/beadle.toml
  beadle status         Show what a running daemon is doing

Exit codes: 0 success, 1 failure, 2 usage error or invalid configuration, 3 daemon not running";

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
    /// Try Beadle: start a simulated WhatsApp and a daemon, and open a chat page
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
        #[arg(value_parser = traceable)]
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
    /// Show, retry and drop events and messages that failed permanently
    #[command(subcommand, visible_alias = "dead")]
    DeadLetters(DeadLetters),
    /// Show outgoing messages
    #[command(subcommand)]
    Outbox(Outbox),
    /// Show schedules and run them
    #[command(subcommand)]
    Schedules(Schedules),
    /// Show, edit, import, export, merge and erase contacts
    #[command(subcommand)]
    Contacts(Contacts),
    /// Show and record what people agreed to receive
    #[command(subcommand)]
    Consents(Consents),
    /// Show who belongs to a segment, and why
    #[command(subcommand)]
    Segments(Segments),
    /// Keep lists of people
    #[command(subcommand)]
    Lists(Lists),
    /// Show erasures of people and their receipts
    #[command(subcommand)]
    Erasures(Erasures),
    /// Show what is past its retention time
    #[command(subcommand)]
    Retention(Retention),
    /// Show requests of plugins to other servers that wait or were given up
    #[command(subcommand)]
    Requests(Requests),
    /// Show open 24-hour reply windows
    #[command(subcommand)]
    Windows(Windows),
    /// Show, fetch and check message templates
    #[command(subcommand)]
    Templates(Templates),
    /// Explain whether a message would be sent
    #[command(subcommand)]
    Gate(Gate),
    /// Send one message to many people, each once
    #[command(subcommand)]
    Broadcasts(Broadcasts),
    /// Show estimated message costs and budget usage
    Costs(Costs),
}

/// `--config`
#[derive(Args, Debug)]
pub struct ConfigArg {
    /// Configuration file (conf.d/ next to it is read too), or a folder with beadle.toml and
    /// conf.d/
    #[arg(long, value_name = "FILE_OR_DIR", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
}

/// `beadle run`
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    /// Follow a simulator's virtual clock instead of the system clock
    #[arg(long, value_name = "URL", value_parser = http_url)]
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
    /// Filter by kind
    #[arg(long, value_parser = PossibleValuesParser::new(EventKind::ALL.map(EventKind::name)))]
    pub kind: Option<String>,
    /// Filter by contact (con_…)
    #[arg(long, value_name = "ID", value_parser = id::<ContactId>)]
    pub contact: Option<String>,
    /// Filter by conversation (cnv_…)
    #[arg(long, value_name = "ID", value_parser = id::<ConversationId>)]
    pub conversation: Option<String>,
    /// Filter by state
    #[arg(long, value_parser = PossibleValuesParser::new(EventState::ALL.map(EventState::name)))]
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
        #[arg(long, value_name = "ID", conflicts_with = "follow", value_parser = id::<EventId>)]
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
        #[arg(value_parser = id::<EventId>)]
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Print new events as they arrive, until Ctrl-C
    Tail {
        #[command(flatten)]
        filter: EventFilter,
        /// Start after this event (evt_…) instead of now
        #[arg(long, value_name = "ID", value_parser = tail_start)]
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
        /// List dead letters before this one
        #[arg(long, value_name = "ID", conflicts_with = "follow", value_parser = id::<DeadLetterRef>)]
        before: Option<String>,
        /// Print the listed dead letters oldest first, then new ones as they occur, until Ctrl-C
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Show a dead letter and its error
    Show {
        /// Id: hnd_… (handling), msg_… (message), req_… (request) or whk_… (rejected webhook)
        #[arg(value_parser = id::<DeadLetterRef>)]
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Retry dead letters once: handle the event again (out of order, marked late), send the
    /// message or the request, or parse the webhook
    Retry(DeadLetterIds),
    /// Discard dead letters permanently
    Drop(DeadLetterIds),
}

/// What `retry` and `drop` apply to
#[derive(Args, Debug)]
pub struct DeadLetterIds {
    /// Ids: hnd_…, msg_…, req_… or whk_…
    #[arg(required = true, value_name = "ID", value_parser = id::<DeadLetterRef>)]
    pub ids: Vec<String>,
}

/// `beadle outbox`
#[derive(Debug, Subcommand)]
pub enum Outbox {
    /// List outgoing messages; without --state, those that are queued or being sent
    List {
        /// Filter by state
        #[arg(long, value_parser = PossibleValuesParser::new(SendState::ALL.map(SendState::name)))]
        state: Option<String>,
        /// Filter by plugin
        #[arg(long, value_name = "NAME")]
        plugin: Option<String>,
        /// Filter by conversation (cnv_…)
        #[arg(long, value_name = "ID", value_parser = id::<ConversationId>)]
        conversation: Option<String>,
        /// List messages before this one (msg_…)
        #[arg(long, value_name = "ID", value_parser = id::<MessageId>)]
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
    /// Run a schedule once now; its next firing stays as planned
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

/// `beadle retention`
#[derive(Debug, Subcommand)]
pub enum Retention {
    /// Show what would be deleted now, by kind, without deleting it
    Plan(Json),
}

/// `beadle erasures`
#[derive(Debug, Subcommand)]
pub enum Erasures {
    /// List erasures of people, newest first
    List {
        /// List erasures before this one
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        #[command(flatten)]
        page: Page,
    },
    /// Show the receipt of an erasure: what was erased, and what plugins did
    Show {
        /// Number, from `erasures list`
        id: i64,
        #[command(flatten)]
        json: Json,
    },
}

/// `beadle contacts`
#[derive(Debug, Subcommand)]
pub enum Contacts {
    /// List contacts, oldest first
    List {
        /// List contacts after this one (con_…)
        #[arg(long, value_name = "ID", value_parser = id::<ContactId>)]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a contact, its ids and conversations
    Show {
        /// Contact id (con_…)
        #[arg(value_parser = id::<ContactId>)]
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Set a contact's language, time zone, role or attributes; an empty value clears one
    Set {
        /// Contact id (con_…)
        #[arg(value_parser = id::<ContactId>)]
        id: String,
        #[command(flatten)]
        values: ContactValues,
    },
    /// Add tags to a contact, or remove them
    Tag {
        /// Contact id (con_…)
        #[arg(value_parser = id::<ContactId>)]
        id: String,
        /// Tags to add
        #[arg(value_name = "TAG", required_unless_present = "remove")]
        tags: Vec<String>,
        /// Tag to remove; can be repeated
        #[arg(long, value_name = "TAG")]
        remove: Vec<String>,
    },
    /// Import contacts from a CSV or vCard file; any invalid row stops the import
    Import {
        /// File (.csv or .vcf)
        file: PathBuf,
        /// Channel on which they can be written to [default: the only one]
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// How the people of rows without `consent_source` agreed, such as paper; without it, new
        /// people are quarantined
        #[arg(long, value_name = "SOURCE", requires = "consent_purpose")]
        consent_source: Option<String>,
        /// What they agreed to, such as marketing:news
        #[arg(long, value_name = "PURPOSE", requires = "consent_source")]
        consent_purpose: Option<String>,
        /// The wording that they agreed to
        #[arg(long, value_name = "NAME", requires = "consent_source")]
        consent_wording: Option<String>,
        /// Check the file and show what would change, without changing it
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Write everything that is stored about a person to a file; without a person, all contacts as
    /// CSV or vCard
    Export {
        /// Contact id (con_…) [default: all contacts]
        #[arg(value_parser = id::<ContactId>)]
        id: Option<String>,
        /// Format of a person's data [default: by the name of the file, else json]
        #[arg(long, value_name = "FORMAT", value_parser = ["json", "html"], requires = "id")]
        format: Option<String>,
        /// File, readable by you only; of all contacts it ends with .csv or .vcf [default: stdout]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Erase everything that is stored about a person; this cannot be undone
    Erase {
        /// Contact id (con_…)
        #[arg(value_parser = id::<ContactId>)]
        id: String,
        /// Erase without asking
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        json: Json,
    },
    /// List what people asked for by HUMAN, MYDATA and FORGETME, oldest first
    Requests {
        #[command(flatten)]
        page: Page,
    },
    /// Close a request that is done
    CloseRequest {
        /// Number, from `contacts requests`
        id: i64,
    },
    /// List pairs of contacts that may be the same person
    Duplicates {
        #[command(flatten)]
        page: Page,
    },
    /// Merge the second contact into the first
    Merge {
        /// Contact that remains (con_…)
        #[arg(value_parser = id::<ContactId>)]
        contact: String,
        /// Contact to merge into it (con_…); its id remains valid
        #[arg(value_parser = id::<ContactId>)]
        other: String,
        /// Show what would change, without changing it
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Mark two contacts as different people, so that they are not listed as duplicates
    MarkDistinct {
        /// Contact (con_…)
        #[arg(value_parser = id::<ContactId>)]
        contact: String,
        /// Contact that is someone else (con_…)
        #[arg(value_parser = id::<ContactId>)]
        other: String,
    },
}

/// Values of `contacts set`
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub struct ContactValues {
    /// BCP 47 language tag, such as nl or pt-BR
    #[arg(long, value_name = "TAG", value_parser = language)]
    pub language: Option<String>,
    /// IANA time zone, such as Europe/Amsterdam
    #[arg(long, value_name = "ZONE", value_parser = timezone)]
    pub timezone: Option<String>,
    /// owner, admin, moderator, helper, member or banned
    #[arg(long)]
    pub role: Option<String>,
    /// Attribute, declared in `[contacts.attributes]`; can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub attribute: Vec<(String, String)>,
    /// End a quarantine: you answer for the person's consent
    #[arg(long)]
    pub release: bool,
}

fn picture(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    super::qr::Format::of(&path).map(|_| path).ok_or_else(|| "must end with .svg or .png".into())
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must have the form NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `beadle consents`
#[derive(Debug, Subcommand)]
pub enum Consents {
    /// List entries of the ledger, newest first
    List {
        /// List entries before this one (the number in the first column)
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        #[command(flatten)]
        page: Page,
    },
    /// Show what a person agreed to, and all entries about it
    Show {
        /// Contact id (con_…)
        #[arg(value_parser = id::<ContactId>)]
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Record a consent; the person is asked to confirm it unless `--confirmed`
    Record {
        /// Contact id (con_…)
        #[arg(value_parser = id::<ContactId>)]
        id: String,
        /// service, marketing, marketing:TOPIC, group or survey
        purpose: String,
        /// web, sms, ivr, paper, in-person, import, qr, ad, crm or operator
        #[arg(long)]
        source: String,
        /// Wording that they agreed to, declared in `[consents.wordings]`
        #[arg(long, value_name = "NAME")]
        wording: Option<String>,
        /// When they agreed, such as 2026-11-29T10:00:00Z [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Proof: the number of a document or form
        #[arg(long)]
        evidence: Option<String>,
        /// The person has confirmed it: do not ask again
        #[arg(long)]
        confirmed: bool,
    },
    /// Record a withdrawal; applies at once, also to queued messages
    Withdraw {
        /// Contact id (con_…)
        #[arg(value_parser = id::<ContactId>)]
        id: String,
        /// service (all messages), marketing, marketing:TOPIC, group or survey
        purpose: String,
        /// How they said it: web, sms, ivr, paper, in-person, crm, operator, …
        #[arg(long, default_value = "operator")]
        source: String,
        /// When they said it, such as 2026-11-29T10:00:00Z [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Proof: the number of a document or form
        #[arg(long)]
        evidence: Option<String>,
    },
    /// Show the links by which people opt in, with a QR code
    Link {
        /// Wording, declared in `[consents.wordings]`
        wording: String,
        /// Channel that people write to [default: the only one]
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// Also write the QR code to a file (.svg or .png)
        #[arg(long, value_name = "FILE", value_parser = picture)]
        qr: Option<PathBuf>,
        /// Let the QR code lead to the web form instead of the chat
        #[arg(long)]
        form: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Check that no entry was changed, removed or inserted
    Verify {
        #[command(flatten)]
        json: Json,
    },
}

/// `beadle segments`
#[derive(Debug, Subcommand)]
pub enum Segments {
    /// List segments and their expressions
    List {
        /// List segments after this one
        #[arg(long, value_name = "NAME")]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Count the members of a segment
    Count {
        /// Segment, or a list as list:NAME
        name: String,
        #[command(flatten)]
        json: Json,
    },
    /// List the members of a segment, in the order in which they became known
    Members {
        /// Segment, or a list as list:NAME
        name: String,
        /// List members after this one (con_…)
        #[arg(long, value_name = "ID", value_parser = id::<ContactId>)]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Explain why a person belongs to a segment or not
    Explain {
        /// Segment, or a list as list:NAME
        name: String,
        /// Contact id (con_…)
        #[arg(value_parser = id::<ContactId>)]
        contact: String,
        #[command(flatten)]
        json: Json,
    },
}

/// `beadle lists`
#[derive(Debug, Subcommand)]
pub enum Lists {
    /// List the lists
    List {
        /// List those after this one
        #[arg(long, value_name = "NAME")]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Create an empty list
    Create {
        /// 1 to 64 letters, digits, - or _
        name: String,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Add people to a list
    Add {
        /// List
        name: String,
        #[command(flatten)]
        people: ListPeople,
    },
    /// Remove people from a list
    Remove {
        /// List
        name: String,
        #[command(flatten)]
        people: ListPeople,
    },
    /// Show the members of a list, in the order in which they became known
    Show {
        /// List
        name: String,
        /// Show members after this one (con_…)
        #[arg(long, value_name = "ID", value_parser = id::<ContactId>)]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Delete a list; the people stay
    Delete {
        /// List
        name: String,
    },
}

/// People of `lists add` and `lists remove`
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub struct ListPeople {
    /// Contact id (con_…); can be repeated
    #[arg(value_name = "CONTACT", value_parser = id::<ContactId>)]
    pub contacts: Vec<String>,
    /// File with a contact id per line; further columns of a CSV file are ignored
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The present members of this segment, or of a list as list:NAME
    #[arg(long, value_name = "NAME")]
    pub segment: Option<String>,
}

/// `beadle requests`
#[derive(Debug, Subcommand)]
pub enum Requests {
    /// List requests, newest first
    List {
        /// Filter by plugin
        #[arg(long, value_name = "NAME")]
        plugin: Option<String>,
        /// List only requests that were given up
        #[arg(long)]
        given_up: bool,
        /// List requests before this one
        #[arg(long, value_name = "ID", value_parser = id::<RequestId>)]
        before: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a request and its last failure
    Show {
        /// Id: req_…
        #[arg(value_parser = id::<RequestId>)]
        id: String,
        #[command(flatten)]
        json: Json,
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
    /// List a plugin's documents, and the files that were rejected
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
        /// List the values stored about this contact or conversation (con_… or cnv_…) instead of
        /// the plugin's own
        #[arg(long, value_name = "ID", value_parser = scope)]
        scope: Option<String>,
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
        #[arg(required = true, value_name = "CAPABILITY", value_parser = capability)]
        capabilities: Vec<String>,
    },
    /// Revoke capabilities that were granted with `plugins grant`
    Revoke {
        /// Plugin name
        name: String,
        /// Capabilities, such as messages
        #[arg(required = true, value_name = "CAPABILITY", value_parser = capability)]
        capabilities: Vec<String>,
    },
    /// Return to the earlier revision, until the file changes
    Rollback {
        /// Plugin name
        name: String,
        /// Roll back even if the state was migrated, and discard what was written since
        #[arg(long)]
        discard_state: bool,
    },
    /// Enable a disabled or suspended plugin; waiting events are delivered first
    Enable {
        /// Plugin name
        name: String,
    },
    /// Disable a plugin; it receives no events until it is enabled, even after a restart
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
    #[arg(value_parser = new_plugin_name)]
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
    /// Build again whenever a source is saved, and report whether a running daemon loaded the
    /// result
    #[arg(long)]
    pub watch: bool,
}

/// `beadle plugins test`
#[derive(Args, Debug)]
pub struct Test {
    /// The plugin's .wasm file
    pub file: PathBuf,
    /// JSON file with an event or a list of events, or the name of a sample: text, button,
    /// list-row, image, advertisement, reaction, joined, left, timer, failed [default: all samples
    /// whose events the plugin exports]
    #[arg(long, value_name = "EVENT", value_parser = test_event)]
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

// Values are checked here, so that a wrong one is a usage error that says what is accepted. They
// are sent as written.

fn checked(text: &str, is_valid: bool, expected: impl Display) -> Result<String, String> {
    if is_valid { Ok(text.into()) } else { Err(expected.to_string()) }
}

fn id<T: FromStr<Err: Display>>(text: &str) -> Result<String, String> {
    text.parse::<T>().map(|_| text.into()).map_err(|error| error.to_string())
}

/// `evt_0` is the position before the first event.
fn tail_start(text: &str) -> Result<String, String> {
    if text == "evt_0" { Ok(text.into()) } else { id::<EventId>(text) }
}

fn scope(text: &str) -> Result<String, String> {
    let is_valid = id::<ContactId>(text).is_ok() || id::<ConversationId>(text).is_ok();
    checked(text, is_valid, "must be con_NUMBER or cnv_NUMBER")
}

fn traceable(text: &str) -> Result<String, String> {
    let prefix = text.split_once('_').map(|(prefix, _)| prefix);
    match prefix {
        Some("evt") => id::<EventId>(text),
        Some("msg") => id::<MessageId>(text),
        Some("hnd") => id::<HandlingId>(text),
        Some("con") => id::<ContactId>(text),
        Some("whk") => id::<WebhookId>(text),
        Some("req") => id::<RequestId>(text),
        // The platform decides the form of its own ids.
        _ => checked(text, text.starts_with("wamid."), "must begin with evt_, msg_, hnd_, con_, whk_ or wamid."),
    }
}

fn language(text: &str) -> Result<String, String> {
    let is_valid = text.is_empty() || is_language_tag(text);
    checked(text, is_valid, "must be a BCP 47 language tag, such as nl or pt-BR, or empty")
}

fn timezone(text: &str) -> Result<String, String> {
    let near = Zone::suggest(text).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    let is_valid = text.is_empty() || Zone::named(text).is_some();
    checked(text, is_valid, format!("must be an IANA time zone, such as Europe/Amsterdam, or empty{near}"))
}

fn capability(text: &str) -> Result<String, String> {
    let names = grants::grantable_names();
    let expected = match grants::is_default(text) {
        true => format!("every plugin has it by default; these can be granted: {names}"),
        false => format!("no such capability; these can be granted: {names}"),
    };
    checked(text, grants::is_grantable(text), expected)
}

fn test_event(text: &str) -> Result<String, String> {
    let is_valid = event::is_sample(text) || std::path::Path::new(text).is_file();
    checked(text, is_valid, format!("no such file or sample; the samples are {}", event::sample_names()))
}

fn http_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).ok();
    let is_valid = url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    checked(text, is_valid, "must be an HTTP address, such as http://127.0.0.1:8400")
}

fn new_plugin_name(text: &str) -> Result<String, String> {
    beadle_workshop::new_plugin::check_name(text).map(|()| text.into()).map_err(|error| error.to_string())
}

fn duration_ms(text: &str) -> Result<i64, String> {
    let ms = units::parse_ms(text).filter(|ms| *ms > 0);
    ms.ok_or_else(|| format!("must be {}", units::FORM))
}

/// `beadle costs`
#[derive(Args, Debug)]
pub struct Costs {
    /// Group by
    #[arg(long, default_value = "category", value_parser = ["day", "category", "country", "plugin", "channel", "broadcast"])]
    pub by: String,
    /// First day in UTC, such as 2026-11-01 [default: the first of the month]
    #[arg(long, value_name = "DAY")]
    pub from: Option<String>,
    /// Last day in UTC [default: today]
    #[arg(long, value_name = "DAY")]
    pub to: Option<String>,
    #[command(flatten)]
    pub json: Json,
}

/// `beadle templates`
#[derive(Debug, Subcommand)]
pub enum Templates {
    /// List templates by name and language
    List {
        /// Filter by channel
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// Filter by status: approved, pending, rejected, paused, disabled and others
        #[arg(long)]
        status: Option<String>,
        /// List templates after this one (NAME/LANGUAGE)
        #[arg(long, value_name = "TEMPLATE")]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show a template in each language: its parts, its parameters and warnings
    Show {
        /// Template name
        name: String,
        /// Channel, if accounts have different templates with this name
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Fetch the templates from WhatsApp now
    Sync,
    /// List advertising words in utility templates, for which WhatsApp may make them marketing
    /// templates
    Lint {
        #[command(flatten)]
        page: Page,
    },
    /// Show a template with its parameters filled in, and whether they fit
    Preview {
        /// Template name
        name: String,
        #[command(flatten)]
        fill: Fill,
        /// Channel, if accounts have different templates with this name
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        #[command(flatten)]
        json: Json,
    },
}

/// What fills a template
#[derive(Args, Clone, Debug, Default)]
pub struct Fill {
    /// Language, such as pt_BR; without it, that of the recipient or of the configuration
    #[arg(long, value_name = "TAG")]
    pub language: Option<String>,
    /// Value of the next variable, or NAME=VALUE for a named one; repeat it for each variable
    #[arg(long = "parameter", short, value_name = "VALUE")]
    pub parameters: Vec<String>,
}

/// `beadle gate`
#[derive(Debug, Subcommand)]
pub enum Gate {
    /// Show what each check says about a message to a person, without sending it
    Explain {
        /// Contact (con_…) or conversation (cnv_…)
        recipient: String,
        /// Text of the message
        #[arg(long, required_unless_present = "template", conflicts_with = "template")]
        text: Option<String>,
        /// Template name
        #[arg(long, value_name = "NAME")]
        template: Option<String>,
        #[command(flatten)]
        fill: Fill,
        /// What the message is for: service, marketing, marketing:TOPIC, group or survey. A
        /// template that WhatsApp categorises as marketing is marketing in any case
        #[arg(long)]
        purpose: Option<String>,
        /// Plugin that would send it, for the budgets that limit that plugin
        #[arg(long, value_name = "NAME")]
        plugin: Option<String>,
        /// Channel, if the person writes on several
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        #[command(flatten)]
        json: Json,
    },
}

/// `beadle broadcasts`
#[derive(Debug, Subcommand)]
pub enum Broadcasts {
    /// List broadcasts, newest first
    List {
        /// List broadcasts before this one (bro_…)
        #[arg(long, value_name = "ID", value_parser = id::<BroadcastId>)]
        before: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Create a draft of a broadcast from a file
    Create {
        /// TOML file with name, purpose, audience, template and text
        file: PathBuf,
        /// Who creates it [default: $USER]
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Select the recipients of a broadcast, and show numbers, costs and samples
    Plan {
        /// Name or id (bro_…)
        broadcast: String,
        #[command(flatten)]
        json: Json,
    },
    /// Send the message of a broadcast to up to 10 contacts now, without counting them
    Test {
        /// Name or id (bro_…)
        broadcast: String,
        /// Contacts (con_…)
        #[arg(required = true, value_name = "CONTACT", value_parser = id::<ContactId>)]
        contacts: Vec<String>,
    },
    /// Approve a large broadcast that another person created
    Approve {
        /// Name or id (bro_…)
        broadcast: String,
        /// Who approves it
        #[arg(long, value_name = "NAME")]
        by: String,
    },
    /// Start a planned broadcast
    Start {
        /// Name or id (bro_…)
        broadcast: String,
    },
    /// Pause a broadcast
    Pause {
        /// Name or id (bro_…)
        broadcast: String,
    },
    /// Resume a paused broadcast
    Resume {
        /// Name or id (bro_…)
        broadcast: String,
        /// Send failed messages again unless they would fail again, also those of a finished
        /// broadcast
        #[arg(long)]
        failed: bool,
    },
    /// End a broadcast, which cannot be resumed
    Stop {
        /// Name or id (bro_…)
        broadcast: String,
    },
    /// Show a broadcast with its plan or its progress
    Show {
        /// Name or id (bro_…)
        broadcast: String,
        /// Show progress until the broadcast is finished, paused or stopped
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        json: Json,
    },
    /// List the recipients of a broadcast and the state of each message
    Recipients {
        /// Name or id (bro_…)
        broadcast: String,
        /// Filter by state
        #[arg(long, value_parser = PossibleValuesParser::new(RecipientState::ALL.iter().map(|state| state.name())))]
        state: Option<String>,
        /// List recipients after this one (con_…)
        #[arg(long, value_name = "ID", value_parser = id::<ContactId>)]
        after: Option<String>,
        #[command(flatten)]
        page: Page,
    },
}
