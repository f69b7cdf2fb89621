//! Well-behaved and hostile guests, and the reports about them.
//!
//! Guests are core modules in text, in the form that `cargo build` produces: the canonical ABI by
//! hand, and a section that describes imports and exports. So every test covers the way from file
//! to report.

mod capabilities;
mod compiled;
mod faults;
mod floods;
mod loading;
mod migrating;
mod stored;
mod versions;
mod warm;
mod wasi;

use crate::{Call, Isolation, Limits, LoadError, Plugin, Report, Sandbox, SandboxConfig, Spec};
use beadle_clock::Clock;
use beadle_model::effect::StateWrite;
use beadle_model::{
    Alias, AliasKind, Contact, ContactId, Content, ConversationId, ConversationView, Event, EventBody, EventId,
    MessageId, PluginNo, StateNo, Timestamp,
};
use beadle_store::step::{Batch, Commit, EventKey, NewEvent, Placement, Progress, Sender};
use beadle_store::{Store, StoreConfig};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Civil time in all tests.
pub const NOW: Timestamp = Timestamp(1_795_293_360_123);
/// Address of the result of a guest's `handle`. The memory there is zero, which is `ok(pass)`.
pub const OK_PASS: &str = "(i32.const 16)";
/// Address of the result of a host function: discriminant, then value.
pub const ANSWER: i32 = 64;

/// The parts of a guest's source.
#[derive(Default)]
pub struct Guest<'a> {
    /// Capabilities to import, by the names of their interfaces.
    pub capabilities: &'a [&'a str],
    /// Further lines of its world.
    pub world: &'a str,
    /// Further WIT packages, nested.
    pub wit: &'a str,
    /// Core imports.
    pub imports: &'a str,
    /// Functions, data, globals.
    pub items: &'a str,
    /// The body of `handle` of `on-message`, with the parameter `$event`. Returns the address of
    /// the result.
    pub handle: &'a str,
}

impl Guest<'_> {
    /// The core module with its description.
    pub fn bytes(&self) -> Vec<u8> {
        let mut module = self.core();
        let capabilities: String =
            self.capabilities.iter().map(|name| format!("import beadle:plugin/{name}@0.1.0;\n")).collect();
        let text = format!(
            "package test:guest;\n{}\nworld guest {{ {capabilities} {} export beadle:plugin/on-message@0.1.0; }}",
            self.wit, self.world
        );
        describe(&mut module, &text);
        module
    }

    /// The core module without a description.
    pub fn core(&self) -> Vec<u8> {
        let handle = if self.handle.is_empty() { OK_PASS } else { self.handle };
        let text = format!(
            r#"(module
                {imports}
                (memory (export "memory") 2)
                (global $heap (mut i32) (i32.const 65536))
                ;; Memory for what the host passes: from 64 KiB on, freed after each event.
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                    (global.set $heap (i32.add (local.get $at) (local.get 3)))
                    (local.get $at))
                {items}
                (func (export "beadle:plugin/on-message@0.1.0#handle") (param $event i32) (result i32)
                    {handle})
                (func (export "cabi_post_beadle:plugin/on-message@0.1.0#handle") (param i32)
                    (global.set $heap (i32.const 65536))))"#,
            imports = self.imports,
            items = self.items,
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}

/// Adds the description of a world (the last one in `wit`) to a module.
pub fn describe(module: &mut Vec<u8>, wit: &str) {
    let mut resolve = Resolve::default();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-api/wit/since-v0.1.0");
    resolve.push_dir(&contract).unwrap();
    let package = resolve.push_str("guest.wit", wit).unwrap_or_else(|error| panic!("{error:#}\n{wit}"));
    let world = resolve.select_world(&[package], None).unwrap();
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8).unwrap();
}

/// A sandbox with two guest threads and a store of its own.
pub struct Fixture {
    sandbox: Sandbox,
    pub store: Store,
    _folder: tempfile::TempDir,
}

impl Deref for Fixture {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

pub fn sandbox() -> Fixture {
    let ids = AtomicI64::new(1);
    sandbox_with(Arc::new(move || MessageId(ids.fetch_add(1, Ordering::Relaxed))))
}

pub fn sandbox_with(reserve: Arc<dyn Fn() -> MessageId + Send + Sync>) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StoreConfig::new(folder.path(), Clock::manual(NOW).0)).unwrap();
    let config = SandboxConfig { guest_threads: 2, ..SandboxConfig::default() };
    let sandbox = Sandbox::new(config, store.reader(), reserve, [7; 32]).unwrap();
    Fixture { sandbox, store, _folder: folder }
}

impl Fixture {
    /// Commits state of plugin 1 as a handling does.
    pub async fn stored(&self, state: Vec<StateWrite>) {
        let plugin = self.store.plugin_no("guest").await.unwrap();
        assert_eq!(plugin, PluginNo(1));
        let subscriber_list = self.store.subscriber_list(vec![plugin]).await.unwrap();
        let event = self.arrived("31612345678").await;
        let progress = Progress::of_one(event, subscriber_list);
        let commit = Commit { state, ..Commit::empty(self.store.fence(), plugin, StateNo(1), NOW, progress) };
        self.store.commit(commit).await.unwrap();
    }

    /// A person writes: they become a contact, and their window opens.
    pub async fn arrived(&self, number: &str) -> EventId {
        let aliases = vec![Alias { kind: AliasKind::WaId, value: number.into() }];
        let sender = Sender { channel: "shop".into(), aliases, name: Some("Ada".into()), group: None, language: None };
        let body = event(1).body;
        let new = NewEvent {
            key: EventKey { at: NOW, hash: number.repeat(2).as_bytes()[..16].try_into().unwrap() },
            placement: Placement::Sender(sender),
            happened_at: NOW,
            opens_window: true,
            keyword: None,
            body,
        };
        self.store.append(Batch { events: vec![new], ..Batch::default() }).await.unwrap();
        EventId(1)
    }
}

/// A spec with default limits.
pub fn spec(bytes: Vec<u8>) -> Spec {
    Spec {
        name: "guest".into(),
        no: PluginNo(1),
        state: StateNo(1),
        bytes,
        settings: json!({ "greeting": "hello" }),
        limits: Limits::default(),
        channels: None,
        isolation: Isolation::Warm,
        first_calls: None,
    }
}

pub async fn load(sandbox: &Fixture, guest: &Guest<'_>) -> Arc<Plugin> {
    sandbox.load(spec(guest.bytes())).await.unwrap()
}

pub async fn load_error(bytes: Vec<u8>) -> LoadError {
    sandbox().load(spec(bytes)).await.unwrap_err()
}

/// Loads a guest and passes it one event.
pub async fn run(guest: &Guest<'_>) -> Report {
    let world = sandbox();
    load(&world, guest).await.handle(call(1)).await
}

/// The conversation of all events. Its window is open for an hour.
pub fn conversation() -> ConversationView {
    ConversationView {
        id: ConversationId(9),
        channel: "shop".into(),
        contact: Contact {
            id: ContactId(3),
            name: Some("Ada".into()),
            language: None,
            timezone: None,
            created_at: NOW,
            member_since: Some(NOW),
            opted_out_since: None,
            marketing_stopped_since: None,
            profile: None,
        },
        group: None,
        address: Some(Alias { kind: AliasKind::WaId, value: "31612345678".into() }),
        window_until: Some(NOW.plus_ms(3_600_000)),
        free_entry_until: None,
    }
}

/// A message with the text "ping".
pub fn event(id: i64) -> Event {
    Event {
        id: EventId(id),
        happened_at: NOW,
        received_at: NOW,
        conversation: Some(Arc::new(conversation())),
        body: EventBody::Message {
            message: "wamid.1".into(),
            content: Content::Text("ping".into()),
            context: None,
            referral: None,
            keyword: None,
            addressed: None,
            extra: Value::Null,
        },
    }
}

pub fn call_with(event: Event) -> Call {
    Call { event: Arc::new(event), ending: None, attempt: 1, late: false, now: NOW }
}

pub fn call(id: i64) -> Call {
    call_with(event(id))
}

/// Codes are the string after `Refusal::new(`, and the right sides of the arms of `fn code`.
#[test]
fn code_list_matches_the_sources() {
    let sources = [
        include_str!("../host/broadcasts.rs"),
        include_str!("../host/clock.rs"),
        include_str!("../host/consents.rs"),
        include_str!("../host/contacts.rs"),
        include_str!("../host/contacts_edit.rs"),
        include_str!("../host/contacts_identity.rs"),
        include_str!("../../../model/src/consent/rules.rs"),
        include_str!("../host/groups.rs"),
        include_str!("../host/host_state.rs"),
        include_str!("../host/media.rs"),
        include_str!("../host/messages.rs"),
        include_str!("../host/outgoing.rs"),
        include_str!("../host/overlay.rs"),
        include_str!("../host/requests.rs"),
        include_str!("../host/state.rs"),
        include_str!("../host/state/scan.rs"),
        include_str!("../host/timers.rs"),
        include_str!("../host/durable.rs"),
    ];
    let coded = [
        include_str!("../fault.rs"),
        include_str!("../error.rs"),
        include_str!("../sandbox.rs"),
        include_str!("../host/contacts_edit.rs"),
    ];
    let literal = |text: &'static str| text.trim_start().strip_prefix('"')?.split('"').next();
    let refusals = sources.iter().flat_map(|source| source.split("Refusal::new(").skip(1)).filter_map(literal);
    // Some refusals are the gate's.
    let refusals = refusals.filter(|code| !beadle_gate::CODES.contains(code));
    let code_functions =
        coded.iter().map(|source| source.split_once("fn code(").unwrap().1.split("fn ").next().unwrap());
    let arms = code_functions.flat_map(|body| body.split("=> ").skip(1)).filter_map(literal);
    assert_eq!(
        refusals.chain(arms).chain([crate::shortage::CODE]).collect::<BTreeSet<_>>(),
        crate::CODES.into_iter().collect()
    );
}
