//! `beadle plugins test FILE`: run a plugin on test events in the daemon's sandbox.
//!
//! The plugin runs in an empty installation in a temporary folder, with a clock that stands still
//! and an outbox that sends nothing. Events run one after another and share the plugin's state.
//! Every requested capability is granted; the output names those that a daemon requires to be
//! granted.

use super::event::{self, NOW, TestEvent};
use super::report::{self, TestResult};
use crate::cli::Test;
use crate::exit::{Exit, print};
use crate::scratch::Scratch;
use beadle_clock::Clock;
use beadle_model::{
    Alias, AliasKind, Coded as _, Content, ConversationId, ConversationView, Effects, Event, EventBody, EventId,
};
use beadle_sandbox::{Call, Handled, Isolation, Limits, Plugin, Report, Sandbox, SandboxConfig, Spec};
use beadle_store::step::{Batch, Commit, EventKey, NewEvent, Placement, Progress, Sender};
use beadle_store::{Store, StoreConfig, StoreError};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;

/// The channel of all test events.
const CHANNEL: &str = "shop";

/// Runs `beadle plugins test`; fails if the file is not a plugin or a call failed.
pub async fn test(args: &Test) -> Exit {
    match run(args).await {
        Ok(exit) => exit,
        Err(Failed { code: Some(code), message }) => {
            eprintln!("error[{code}]: {message}\nhint: run `beadle explain {code}`");
            Exit::Failed
        }
        Err(Failed { code: None, message }) => {
            if !message.is_empty() {
                eprintln!("error: {message}");
            }
            Exit::Failed
        }
    }
}

/// Why a test did not run.
struct Failed {
    code: Option<&'static str>,
    message: String,
}

impl From<String> for Failed {
    fn from(message: String) -> Self {
        Self { code: None, message }
    }
}

async fn run(args: &Test) -> Result<Exit, Failed> {
    let bytes = std::fs::read(&args.file).map_err(|error| format!("cannot read {}: {error}", args.file.display()))?;
    let settings = args.settings.as_deref().map_or(Ok(json!({})), settings)?;
    let installation = Installation::create()?;
    let plugin = installation.load(args, bytes, settings).await?;
    let mut events = Vec::new();
    for word in &args.event {
        events.extend(event::load(word)?);
    }
    if events.is_empty() {
        events = event::samples(|kind| plugin.subscriptions().contains(&kind));
    }
    if !args.json.json {
        let text = report::plugin(&plugin, &args.file.display().to_string());
        print(&text).or_else(ignore_closed_output)?;
    }
    let mut results = Vec::new();
    let mut succeeded = true;
    for event in &events {
        let result = installation.run(&plugin, event, results.len()).await;
        let result = result.map_err(|error| format!("{}: {error}", event.from))?;
        succeeded &= result.outcome.is_ok();
        if !args.json.json {
            print(&result.text()).or_else(ignore_closed_output)?;
        }
        results.push(result.json());
    }
    if args.json.json {
        let text = serde_json::to_string_pretty(&json!({ "plugin": &**plugin.name(), "items": results }));
        print(&format!("{}\n", text.unwrap_or_default())).or_else(ignore_closed_output)?;
    }
    Ok(if succeeded { Exit::Ok } else { Exit::Failed })
}

/// Output that was closed by its reader is no failure.
fn ignore_closed_output(exit: Exit) -> Result<(), String> {
    if exit == Exit::Ok { Ok(()) } else { Err(String::new()) }
}

/// Settings from a file: JSON if its name ends in `.json`, else TOML.
fn settings(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let is_json = path.extension().is_some_and(|end| end == "json");
    let read = if is_json {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str(&text).map_err(|error| error.to_string())
    };
    read.map_err(|error| format!("invalid settings in {}: {error}", path.display()))
}

/// A temporary installation for one plugin.
struct Installation {
    sandbox: Sandbox,
    store: Store,
    _folder: Scratch,
}

impl Installation {
    fn create() -> Result<Self, String> {
        let folder = Scratch::make("test").map_err(|error| format!("cannot create a temporary folder: {error}"))?;
        let (clock, _) = Clock::manual(NOW);
        // No ballast file: nothing here must survive a full disk.
        let config = StoreConfig { ballast_bytes: 0, ..StoreConfig::new(folder.path().join("data"), clock) };
        let store = Store::open(config).map_err(|error| error.to_string())?;
        let reserve = {
            let store = store.clone();
            Arc::new(move || store.reserve_message())
        };
        let config = SandboxConfig { cache_dir: None, ..SandboxConfig::default() };
        // A constant key makes the plugin's random numbers reproducible.
        let sandbox = Sandbox::new(config, store.reader(), reserve, [0; 32]).map_err(|error| error.to_string())?;
        Ok(Self { sandbox, store, _folder: folder })
    }

    async fn load(&self, args: &Test, bytes: Vec<u8>, settings: Value) -> Result<Arc<Plugin>, Failed> {
        let name = args.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("plugin").to_owned();
        let no = self.store.plugin_no(&name).await.map_err(|error| error.to_string())?;
        let state = self.store.reader().state_of(no).map_err(|error| error.to_string())?;
        let mut limits = Limits::default();
        limits.memory_mib = args.memory_mib.unwrap_or(limits.memory_mib);
        let isolation = Isolation::Warm;
        let spec = Spec { name, no, state, bytes, settings, limits, channels: None, isolation, first_calls: None };
        let loaded = self.sandbox.load(spec).await;
        loaded.map_err(|error| Failed { code: Some(error.code()), message: error.to_string() })
    }

    /// Runs the plugin on one event and commits its state.
    async fn run<'a>(&self, plugin: &Plugin, test: &'a TestEvent, nth: usize) -> Result<TestResult<'a>, StoreError> {
        let Some(mut view) = self.conversation(&test.name).await? else { return Err(StoreError::Closed) };
        if !test.window {
            view.window_until = None;
        }
        let id = EventId(i64::try_from(nth).unwrap_or(i64::MAX).saturating_add(1));
        let mut body = test.body.clone();
        if let EventBody::Timer { scope, .. } = &mut body
            && *scope == beadle_model::Scope::Plugin
        {
            *scope = beadle_model::Scope::Contact(view.contact.id);
        }
        let event = Event { id, happened_at: NOW, received_at: NOW, conversation: Some(Arc::new(view)), body };
        let conversation = event.conversation.as_ref().map(|view| view.id);
        let call = Call { event: Arc::new(event), ending: None, attempt: 1, late: false, now: NOW };
        let Report { outcome, log, usage, .. } = plugin.handle(call).await;
        let outcome = match outcome {
            Ok(Handled { disposition, effects, instance }) => {
                self.commit(plugin, conversation, &effects).await?;
                instance.keep();
                Ok((disposition, effects))
            }
            Err(fault) => Err(fault),
        };
        Ok(TestResult { event: test, outcome, log, usage })
    }

    /// Commits state and timers as the pipeline does, without the messages.
    async fn commit(
        &self,
        plugin: &Plugin,
        conversation: Option<ConversationId>,
        effects: &Effects,
    ) -> Result<(), StoreError> {
        let subscriber_list = self.store.subscriber_list(vec![plugin.no()]).await?;
        // All commits belong to the first event, which created the contact.
        let event = EventId(1);
        let progress = Progress {
            event,
            subscriber_list,
            done: 0,
            done_overflow: vec![],
            all: 1,
            overflow_count: 0,
            ending: None,
        };
        let Effects { reads, state, timers, media, .. } = effects.clone();
        let commit = Commit {
            conversation,
            reads,
            state,
            timers,
            media,
            ..Commit::empty(self.store.fence(), plugin.no(), plugin.state(), NOW, progress)
        };
        self.store.commit(commit).await
    }

    /// The conversation with a contact of this name, created by a message.
    async fn conversation(&self, name: &str) -> Result<Option<ConversationView>, StoreError> {
        let digest = Sha256::digest(name);
        // An unassigned number, derived from the name.
        let number = digest.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        let alias = Alias { kind: AliasKind::WaId, value: format!("999{number:010}") };
        let sender = Sender {
            channel: CHANNEL.into(),
            aliases: vec![alias.clone()],
            name: Some(name.into()),
            group: None,
            language: None,
        };
        let hash = digest.first_chunk::<16>().copied().unwrap_or_default();
        let content = Content::Text(String::new());
        let (context, referral, keyword, addressed) = (None, None, None, None);
        let body = EventBody::Message {
            message: alias.value.clone(),
            content,
            context,
            referral,
            keyword,
            addressed,
            extra: Value::Null,
        };
        let placement = Placement::Sender(sender);
        let event = NewEvent {
            key: EventKey { at: NOW, hash },
            placement,
            happened_at: NOW,
            opens_window: true,
            keyword: None,
            body,
        };
        self.store.append(Batch { events: vec![event], ..Batch::default() }).await?;
        let reader = self.store.reader();
        match reader.contact_by_alias(&alias)? {
            Some(contact) => reader.conversation_with(contact, Some(CHANNEL)),
            None => Ok(None),
        }
    }
}
