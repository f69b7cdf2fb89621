//! Write plugins for Beadle, the WhatsApp community daemon.
//!
//! A plugin is a struct. Its fields are its settings, a trait for each event that it wants is what it does, and one
//! line makes a plugin of it. This is the whole of `echo`, which answers a text with that text:
//!
//! ```
#![doc = include_str!("../../../plugins/echo/src/lib.rs")]
//! ```
//!
//! **Events.** What stands behind the colon of [`plugin!`] is what the plugin exports, and what it exports it gets:
//! there is no other list. A handler says [`Disposition::Claimed`] when it answered, [`Disposition::Pass`] when the next
//! plugin may, or a [`Failure`]. It runs to its end or not at all: everything it asked for is done when it has returned
//! `Ok`, together and once; when it fails, traps or takes too long, nothing of it is.
//!
//! **Capabilities.** A module here is a capability: [`replies`], [`state`], [`timers`], [`messages`], [`media`], [`groups`],
//! [`contacts`], [`documents`], [`log`], [`clock`], [`random`], [`settings`]. Calling a function of it is asking for the capability; what is not called is not in
//! the binary. A [`Refusal`] is Beadle's "no": look at its `code` and do something else, or let `?` end the handling.
//!
//! **Memory.** Handlers take `&self`. An instance is kept warm or thrown away as it suits the host, so that what it
//! remembers is a cache; what must stay belongs in [`state`].
//!
//! **Settings.** A plugin with settings derives `serde::Deserialize` and `schemars::JsonSchema` on its struct and names
//! `Settings` first: `plugin!(Welcome: Settings, OnMessage)`. The operator's TOML is checked against that schema before
//! the plugin runs. See [`settings`].
//!
//! **A state that changes its form** from one revision to the next is brought over by a [`migration`].
//!
//! **Tests.** Compiled for anything but wasm, the capabilities lead to a small Beadle in memory, [`testing`], so that
//! `cargo test` drives the very handlers that are shipped.
//!
//! What it is not: a way around the sandbox. There are no files, sockets, threads or environment variables, and the only
//! time and randomness are those of [`clock`] and [`random`].

#[doc(hidden)]
pub mod bindings;
mod capability;
mod event;
mod host;
mod message;
pub mod migration;
mod refusal;
#[doc(hidden)]
pub mod shim;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod words;

pub use bindings::imports::types::{
    CallPermission, Choice, Contact, ContactId, Content, Context, Conversation, ConversationId, Disposition, Edited,
    Ending, EventInfo, Failure, Json, Location, Media, MediaId, MessageId, Order, OrderItem, Other, PlatformId,
    Referral, Refusal, Scope, TimestampMs,
};
pub use capability::{
    clock, contacts, documents, groups, log, media, messages, random, replies, settings, state, timers,
};
pub use event::{
    ChannelChangedEvent, ContactChangedEvent, DocumentsChangedEvent, EchoEvent, GroupChangedEvent, JoinRequestEvent,
    MemberJoinedEvent, MemberLeftEvent, MessageEvent, MessageStatusEvent, OnChannelChanged, OnContactChanged,
    OnDocumentsChanged, OnEcho, OnGroupChanged, OnJoinRequest, OnMemberJoined, OnMemberLeft, OnMessage,
    OnMessageStatus, OnReaction, OnSchedule, OnTimer, OnWindowClosed, OnWindowExpiring, Pricing, Problem,
    ReactionEvent, ScheduleEvent, TimerEvent, WindowClosedEvent, WindowExpiringEvent,
};
pub use message::{
    Button, Buttons, Catalog, ContactRequest, ContactsMessage, CtaUrl, Direct, DirectMessage, File, Flow, Header,
    Interactive, List, LocationMessage, LocationRequest, MediaKind, MediaMessage, Message, Parameter, ParameterValue,
    Product, ProductList, ProductSection, Row, Section, Source, Template, TemplateAction, TemplateButton,
    TemplateHeader, Text, VoiceCall,
};
pub use words::fill;

/// What an author imports: `use beadle_plugin::prelude::*;`
pub mod prelude {
    pub use crate::{
        Buttons, ChannelChangedEvent, Contact, ContactChangedEvent, Content, CtaUrl, Direct, Disposition,
        DocumentsChangedEvent, EchoEvent, Failure, GroupChangedEvent, JoinRequestEvent, List, LocationMessage,
        MediaMessage, MemberJoinedEvent, MemberLeftEvent, MessageEvent, MessageStatusEvent, OnChannelChanged,
        OnContactChanged, OnDocumentsChanged, OnEcho, OnGroupChanged, OnJoinRequest, OnMemberJoined, OnMemberLeft,
        OnMessage, OnMessageStatus, OnReaction, OnSchedule, OnTimer, OnWindowClosed, OnWindowExpiring, ReactionEvent,
        Refusal, ScheduleEvent, Scope, Template, Text, TimerEvent, WindowClosedEvent, WindowExpiringEvent, clock,
        contacts, documents, groups, log, media, messages, plugin, random, replies, settings, state, timers,
    };
}
