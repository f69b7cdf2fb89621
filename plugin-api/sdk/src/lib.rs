//! Write plugins for Beadle, the WhatsApp community daemon.
//!
//! A plugin is a struct. Its fields are its settings, it implements a trait for each event that it
//! handles, and one line exports it. This is the complete plugin `echo`, which answers a text with
//! the same text:
//!
//! ```
#![doc = include_str!("../../../plugins/echo/src/lib.rs")]
//! ```
//!
//! **Events.** [`plugin!`] lists the events of a plugin. It exports these, and gets these: there is
//! no other list of subscriptions. A handler returns [`Disposition::Claimed`] if it answered,
//! [`Disposition::Pass`] if the next plugin may, or a [`Failure`]. Its effects are carried out
//! together and once, after it has returned `Ok`. If it fails, traps or exceeds a limit, none of
//! them are.
//!
//! **Capabilities.** Each of the modules [`replies`], [`state`], [`timers`], [`messages`],
//! [`media`], [`groups`], [`http`], [`requests`], [`contacts`], [`segments`], [`documents`],
//! [`log`], [`clock`], [`random`] and [`settings`] is a capability. Calling a function requests it;
//! what is not called is not in the binary. A [`Refusal`] is a return value: check its `code` and
//! do something else, or end the handling with `?`.
//!
//! **State.** Handlers take `&self`. Instances are reused and destroyed as the host decides, so
//! memory is only a cache. What must persist belongs in [`state`].
//!
//! **Settings.** A plugin with settings derives `serde::Deserialize` and `schemars::JsonSchema` for
//! its struct and lists `Settings` first: `plugin!(Welcome: Settings, OnMessage)`. The operator's
//! TOML is validated against that schema before the plugin runs. See [`settings`].
//!
//! **Privacy.** What a plugin keeps about people in state of its own is exported and erased by
//! [`privacy`].
//!
//! **Migration.** A change of the format of the state is a [`migration`].
//!
//! **Texts.** Placeholders and translations are in [`text`].
//!
//! **Tests.** Compiled for any other target than wasm, the capabilities are those of [`testing`], a
//! small Beadle in memory, so that `cargo test` runs the same handlers.
//!
//! **Other programs.** [`http`] sends requests to hosts that the operator allowed; [`OnWebhook`]
//! gets the requests that other programs send to the plugin's hooks.
//!
//! A plugin has no files, sockets, threads or environment variables, and no other time and random
//! numbers than those of [`clock`] and [`random`].

#[doc(hidden)]
pub mod bindings;
mod capability;
mod event;
mod host;
mod message;
pub mod migration;
pub mod privacy;
mod records;
mod refusal;
#[doc(hidden)]
pub mod shim;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod text;
mod types;

pub use capability::{
    broadcasts, clock, consents, contacts, contacts_edit, contacts_identity, documents, groups, http, log, media,
    messages, random, replies, requests, segments, settings, state, timers,
};
pub use event::{
    OnChannelChanged, OnConsentChanged, OnContactChanged, OnDocumentsChanged, OnEcho, OnGroupChanged, OnJoinRequest,
    OnMemberJoined, OnMemberLeft, OnMessage, OnMessageStatus, OnReaction, OnResponse, OnSchedule, OnTimer, OnWebhook,
    OnWindowClosed, OnWindowExpiring,
};
pub use message::{
    Button, Buttons, Catalog, ContactRequest, ContactsMessage, CtaUrl, Direct, DirectMessage, File, Flow, Header,
    Interactive, List, LocationMessage, LocationRequest, MediaKind, MediaMessage, Message, Parameter, ParameterValue,
    Product, ProductList, ProductSection, Row, Section, Source, Template, TemplateAction, TemplateButton, TemplateCard,
    TemplateHeader, Text, VoiceCall,
};
pub use records::{
    ChannelChangedEvent, ConsentChangedEvent, ContactChangedEvent, DocumentsChangedEvent, EchoEvent, GivenUp,
    GroupChangedEvent, JoinRequestEvent, MemberJoinedEvent, MemberLeftEvent, MessageEvent, MessageStatusEvent, Pricing,
    Problem, ReactionEvent, RequestResponse, ResponseEvent, ScheduleEvent, TimerEvent, WebhookEvent, WindowClosedEvent,
    WindowExpiringEvent,
};
pub use types::{
    CallPermission, Choice, Contact, ContactId, Content, Context, Conversation, ConversationId, Disposition, Edited,
    Ending, EventInfo, Failure, Json, Location, Media, MediaId, MessageHandle, MessageId, Order, OrderItem, Other,
    Referral, Refusal, Scope, TimestampMs,
};

/// Everything that most plugins use: `use beadle_plugin::prelude::*;`
pub mod prelude {
    pub use crate::{
        Buttons, ChannelChangedEvent, ConsentChangedEvent, Contact, ContactChangedEvent, Content, CtaUrl, Direct,
        Disposition, DocumentsChangedEvent, EchoEvent, Failure, GroupChangedEvent, JoinRequestEvent, List,
        LocationMessage, MediaMessage, MemberJoinedEvent, MemberLeftEvent, MessageEvent, MessageStatusEvent,
        OnChannelChanged, OnConsentChanged, OnContactChanged, OnDocumentsChanged, OnEcho, OnGroupChanged,
        OnJoinRequest, OnMemberJoined, OnMemberLeft, OnMessage, OnMessageStatus, OnReaction, OnResponse, OnSchedule,
        OnTimer, OnWebhook, OnWindowClosed, OnWindowExpiring, ReactionEvent, Refusal, ResponseEvent, ScheduleEvent,
        Scope, Template, Text, TimerEvent, WebhookEvent, WindowClosedEvent, WindowExpiringEvent, clock, consents,
        contacts, contacts_edit, contacts_identity, documents, groups, http, log, media, messages, plugin, random,
        replies, requests, segments, settings, state, timers,
    };
}
