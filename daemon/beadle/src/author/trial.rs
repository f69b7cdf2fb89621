//! `beadle plugins test FILE`: a plugin in the sandbox that the daemon has, with events that the author chose.
//!
//! What differs from the daemon is what is around it: an empty installation in a temporary folder, a clock that stands
//! still, and an outbox that nobody empties. Events come one after the other; what one of them left in the plugin's state
//! the next one finds, as it would be. Every capability is granted, and what the daemon would ask for is said.

use super::event::{self, Trial};
use super::shown::{self, Shown};
use crate::cli::Test;
use crate::exit::{Exit, print};
use crate::scratch::Scratch;
use beadle_clock::Clock;
use beadle_model::{
    Alias, AliasKind, Coded as _, Content, ConversationId, ConversationView, Effects, Event, EventBody, EventId,
    Timestamp,
};
use beadle_sandbox::{Call, Handled, Isolation, Limits, Plugin, Report, Sandbox, SandboxConfig, Spec};
use beadle_store::step::{Batch, Commit, EventKey, NewEvent, Placement, Progress, Sender};
use beadle_store::{Store, StoreConfig, StoreError};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;

/// Civil time of every trial, 2026-01-05T09:00:00Z: that of the SDK's own tests, so that the same event does the same
/// tomorrow.
pub const NOW: Timestamp = Timestamp(1_767_603_600_000);
/// The channel that everybody writes on.
const CHANNEL: &str = "shop";

/// `beadle plugins test`: 1 where the file is no plugin, or a call failed.
pub async fn test(args: &Test) -> Exit {
    match run(args).await {
        Ok(exit) => exit,
        Err(why) => {
            eprintln!("{why}");
            Exit::Failed
        }
    }
}

async fn run(args: &Test) -> Result<Exit, String> {
    let bytes = std::fs::read(&args.file).map_err(|why| format!("{} cannot be read: {why}", args.file.display()))?;
    let settings = args.settings.as_deref().map_or(Ok(json!({})), settings)?;
    let world = World::make()?;
    let plugin = world.load(args, bytes, settings).await?;
    let mut trials = Vec::new();
    for word in &args.event {
        trials.extend(event::named(word)?);
    }
    if trials.is_empty() {
        trials = event::samples(|kind| plugin.subscriptions().contains(&kind));
    }
    if !args.json.json {
        let said = shown::plugin(&plugin, &args.file.display().to_string());
        print(&said).or_else(closed)?;
    }
    let mut all = Vec::new();
    let mut well = true;
    for trial in &trials {
        let given = world.give(&plugin, trial, all.len()).await;
        let shown = given.map_err(|why| format!("{}: {why}", trial.from))?;
        well &= shown.outcome.is_ok();
        if !args.json.json {
            print(&shown.text()).or_else(closed)?;
        }
        all.push(shown.json());
    }
    if args.json.json {
        let text = serde_json::to_string_pretty(&json!({ "plugin": &**plugin.name(), "items": all }));
        print(&format!("{}\n", text.unwrap_or_default())).or_else(closed)?;
    }
    Ok(if well { Exit::Ok } else { Exit::Failed })
}

/// Whoever read the output has enough: there is nobody to tell anything more.
fn closed(exit: Exit) -> Result<(), String> {
    if exit == Exit::Ok { Ok(()) } else { Err(String::new()) }
}

/// The table in a file: TOML, or JSON by its name.
fn settings(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|why| format!("{} cannot be read: {why}", path.display()))?;
    let is_json = path.extension().is_some_and(|end| end == "json");
    let read = if is_json {
        serde_json::from_str(&text).map_err(|why| why.to_string())
    } else {
        toml::from_str(&text).map_err(|why| why.to_string())
    };
    read.map_err(|why| format!("{} is no table of settings: {why}", path.display()))
}

/// An installation for one plugin.
struct World {
    sandbox: Sandbox,
    store: Store,
    _folder: Scratch,
}

impl World {
    fn make() -> Result<Self, String> {
        let folder = Scratch::make("test").map_err(|why| format!("a temporary folder: {why}"))?;
        let (clock, _) = Clock::manual(NOW);
        // Nothing here is to outlive a full disk.
        let config = StoreConfig { ballast_bytes: 0, ..StoreConfig::new(folder.path().join("data"), clock) };
        let store = Store::open(config).map_err(|why| why.to_string())?;
        let reserve = {
            let store = store.clone();
            Arc::new(move || store.reserve_message())
        };
        let config = SandboxConfig { cache_dir: None, ..SandboxConfig::default() };
        // The same for every trial, so that a plugin's chances are too.
        let sandbox = Sandbox::new(config, store.reader(), reserve, [0; 32]).map_err(|why| why.to_string())?;
        Ok(Self { sandbox, store, _folder: folder })
    }

    async fn load(&self, args: &Test, bytes: Vec<u8>, settings: Value) -> Result<Arc<Plugin>, String> {
        let name = args.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("plugin").to_owned();
        let no = self.store.plugin_no(&name).await.map_err(|why| why.to_string())?;
        let state = self.store.reader().state_of(no).map_err(|why| why.to_string())?;
        let mut limits = Limits::default();
        limits.memory_mib = args.memory_mib.unwrap_or(limits.memory_mib);
        let spec = Spec { name, no, state, bytes, settings, limits, channels: None, isolation: Isolation::Warm };
        let loaded = self.sandbox.load(spec).await;
        loaded.map_err(|why| format!("{why}\n`beadle explain {}` says more", why.code()))
    }

    /// Gives it one event and keeps what it did.
    async fn give<'a>(&self, plugin: &Plugin, trial: &'a Trial, nth: usize) -> Result<Shown<'a>, StoreError> {
        // By its own message, a moment ago.
        let Some(mut view) = self.conversation(&trial.name).await? else { return Err(StoreError::Closed) };
        if !trial.window {
            view.window_until = None;
        }
        let id = EventId(i64::try_from(nth).unwrap_or(i64::MAX).saturating_add(1));
        let mut body = trial.body.clone();
        if let EventBody::Timer { scope, .. } = &mut body
            && *scope == beadle_model::Scope::Plugin
        {
            *scope = beadle_model::Scope::Contact(view.contact.id);
        }
        let event = Event { id, happened_at: NOW, received_at: NOW, conversation: Some(Arc::new(view)), body };
        let conversation = event.conversation.as_ref().map(|view| view.id);
        let call = Call { event: Arc::new(event), ending: None, attempt: 1, late: false, now: NOW };
        let Report { outcome, log, usage } = plugin.handle(call).await;
        let outcome = match outcome {
            Ok(Handled { disposition, effects, instance }) => {
                self.keep(plugin, conversation, &effects).await?;
                instance.keep();
                Ok((disposition, effects))
            }
            Err(fault) => Err(fault),
        };
        Ok(Shown { trial, outcome, log, usage })
    }

    /// Commits state and timers, as the pipeline does; the messages are shown, and nobody would send them.
    async fn keep(
        &self,
        plugin: &Plugin,
        conversation: Option<ConversationId>,
        effects: &Effects,
    ) -> Result<(), StoreError> {
        let roster = self.store.subscriber_list(vec![plugin.no()]).await?;
        // The first event of all, by which somebody became known, carries the commits.
        let event = EventId(1);
        let progress = Progress {
            event,
            subscriber_list: roster,
            done: 0,
            done_overflow: vec![],
            all: 1,
            overflow_count: 0,
            ending: None,
        };
        let Effects { reads, state, timers, media, .. } = effects.clone();
        let commit = Commit {
            fence: self.store.fence(),
            plugin: plugin.no(),
            was_waiting: false,
            now: NOW,
            progress,
            conversation,
            reads,
            state_no: plugin.state(),
            state,
            timers,
            media,
            sends: vec![],
        };
        self.store.commit(commit).await
    }

    /// The conversation with a person of this name, who becomes known by writing.
    async fn conversation(&self, name: &str) -> Result<Option<ConversationView>, StoreError> {
        let digest = Sha256::digest(name);
        // A number nobody has: only digits count, and which they are does not.
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
