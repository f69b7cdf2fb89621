//! Connects the generated exports with the author's traits. Used only by
//! [`plugin!`](crate::plugin).

use crate::bindings as b;
use crate::event::{
    OnChannelChanged, OnConsentChanged, OnContactChanged, OnDocumentsChanged, OnEcho, OnGroupChanged, OnJoinRequest,
    OnMemberJoined, OnMemberLeft, OnMessage, OnMessageStatus, OnReaction, OnResponse, OnSchedule, OnTimer, OnWebhook,
    OnWindowClosed, OnWindowExpiring,
};
use crate::migration::{Migration, Next, Page};
use crate::privacy::{Person, Privacy};
use crate::records::{
    ChannelChangedEvent, ConsentChangedEvent, ContactChangedEvent, DocumentsChangedEvent, EchoEvent, GroupChangedEvent,
    JoinRequestEvent, MemberJoinedEvent, MemberLeftEvent, MessageEvent, MessageStatusEvent, ReactionEvent,
    ResponseEvent, ScheduleEvent, TimerEvent, WebhookEvent, WindowClosedEvent, WindowExpiringEvent,
};
use crate::types::{Disposition, Failure};
pub use b::about::exports::beadle::plugin::about::About;
use std::cell::OnceCell;
use std::marker::PhantomData;

/// Implemented by [`plugin!`](crate::plugin) for an author's struct.
pub trait Plugin: Sized + 'static {
    /// Called at the first event of an instance; reads the settings, if it has any.
    fn load() -> Result<Self, Failure>;
    /// Version, summary and settings schema.
    fn about() -> About;
    /// Runs a function with the instance's plugin.
    fn with<T>(run: impl FnOnce(&OnceCell<Self>) -> T) -> T;
}

/// The exports of a plugin `P`.
pub struct Shim<P>(PhantomData<P>);

fn run<P: Plugin, T>(handle: impl FnOnce(&P) -> Result<T, Failure>) -> Result<T, Failure> {
    P::with(|cell| match cell.get() {
        Some(plugin) => handle(plugin),
        None => {
            let plugin = P::load()?;
            handle(cell.get_or_init(|| plugin))
        }
    })
}

impl<P: Plugin> b::about::exports::beadle::plugin::about::Guest for Shim<P> {
    fn describe() -> About {
        P::about()
    }
}

impl<P: Plugin + Migration> b::migration::exports::beadle::plugin::migration::Guest for Shim<P> {
    fn version() -> u32 {
        P::VERSION
    }

    fn migrate(page: Page) -> Result<Next, Failure> {
        run(|plugin: &P| plugin.migrate(page))
    }
}

impl<P: Plugin + Privacy> b::privacy::exports::beadle::plugin::privacy::Guest for Shim<P> {
    fn export_contact(person: Person) -> Result<String, Failure> {
        run(|plugin: &P| plugin.export_contact(person)).map(|value| value.to_string())
    }

    fn erase_contact(person: Person) -> Result<(), Failure> {
        run(|plugin: &P| plugin.erase_contact(person))
    }
}

macro_rules! handler {
    ($module:ident, $trait:ident, $event:ident) => {
        impl<P: Plugin + $trait> b::$module::exports::beadle::plugin::$module::Guest for Shim<P> {
            fn handle(event: $event) -> Result<Disposition, Failure> {
                run(|plugin: &P| plugin.$module(event))
            }
        }
    };
}
handler!(on_message, OnMessage, MessageEvent);
handler!(on_reaction, OnReaction, ReactionEvent);
handler!(on_member_joined, OnMemberJoined, MemberJoinedEvent);
handler!(on_member_left, OnMemberLeft, MemberLeftEvent);
handler!(on_timer, OnTimer, TimerEvent);
handler!(on_schedule, OnSchedule, ScheduleEvent);
handler!(on_window_expiring, OnWindowExpiring, WindowExpiringEvent);
handler!(on_window_closed, OnWindowClosed, WindowClosedEvent);
handler!(on_documents_changed, OnDocumentsChanged, DocumentsChangedEvent);
handler!(on_message_status, OnMessageStatus, MessageStatusEvent);
handler!(on_join_request, OnJoinRequest, JoinRequestEvent);
handler!(on_channel_changed, OnChannelChanged, ChannelChangedEvent);
handler!(on_contact_changed, OnContactChanged, ContactChangedEvent);
handler!(on_consent_changed, OnConsentChanged, ConsentChangedEvent);
handler!(on_group_changed, OnGroupChanged, GroupChangedEvent);
handler!(on_echo, OnEcho, EchoEvent);
handler!(on_webhook, OnWebhook, WebhookEvent);
handler!(on_response, OnResponse, ResponseEvent);

/// Exports a struct as a plugin: `plugin!(Echo: OnMessage);`
///
/// The list names the events, each a trait that the struct implements, and `Migration` if it has a
/// [`migration`](crate::migration) of its state, and `Privacy` if it exports and erases what it
/// keeps about people ([`privacy`](crate::privacy)). The struct is created by its `Default`; or, if
/// `Settings` is listed first, deserialised from the operator's settings, whose schema `schemars`
/// provides: `plugin!(Welcome: Settings, OnMessage, OnMemberJoined);`. Version and summary are
/// those of `Cargo.toml`.
#[macro_export]
macro_rules! plugin {
    ($plugin:ident: Settings, $($event:ident),+ $(,)?) => {
        $crate::__plugin!(
            $plugin, $crate::settings::load(), $crate::settings::schema::<$plugin>(), $($event)+
        );
    };
    ($plugin:ident: $($event:ident),+ $(,)?) => {
        $crate::__plugin!($plugin, Ok(<$plugin as Default>::default()), String::new(), $($event)+);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin {
    ($plugin:ident, $load:expr, $schema:expr, $($event:ident)+) => {
        const _: () = {
            impl $crate::shim::Plugin for $plugin {
                fn load() -> ::std::result::Result<Self, $crate::Failure> {
                    $load
                }
                fn about() -> $crate::shim::About {
                    $crate::shim::About {
                        version: env!("CARGO_PKG_VERSION").into(),
                        summary: env!("CARGO_PKG_DESCRIPTION").into(),
                        settings_schema: $schema,
                    }
                }
                fn with<T>(run: impl FnOnce(&::std::cell::OnceCell<Self>) -> T) -> T {
                    ::std::thread_local! {
                        static PLUGIN: ::std::cell::OnceCell<$plugin> = const { ::std::cell::OnceCell::new() };
                    }
                    PLUGIN.with(run)
                }
            }
            // tidy: used in wasm, where an expectation would fail
            #[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "used by the exports, which exist in wasm only"))]
            type Exports = $crate::shim::Shim<$plugin>;
            #[cfg(target_family = "wasm")]
            $crate::bindings::about::export_about!(Exports with_types_in $crate::bindings::about);
            $($crate::__export!($event, $plugin);)+
        };
    };
}

/// Exports one event. Compiled natively, it only checks that the trait is implemented.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (Migration, $plugin:ident) => {
        $crate::__export!(migration, export_migration, migration::Migration, $plugin);
    };
    (Privacy, $plugin:ident) => {
        $crate::__export!(privacy, export_privacy, privacy::Privacy, $plugin);
    };
    (OnMessage, $plugin:ident) => {
        $crate::__export!(on_message, export_on_message, OnMessage, $plugin);
    };
    (OnReaction, $plugin:ident) => {
        $crate::__export!(on_reaction, export_on_reaction, OnReaction, $plugin);
    };
    (OnMemberJoined, $plugin:ident) => {
        $crate::__export!(on_member_joined, export_on_member_joined, OnMemberJoined, $plugin);
    };
    (OnMemberLeft, $plugin:ident) => {
        $crate::__export!(on_member_left, export_on_member_left, OnMemberLeft, $plugin);
    };
    (OnTimer, $plugin:ident) => {
        $crate::__export!(on_timer, export_on_timer, OnTimer, $plugin);
    };
    (OnSchedule, $plugin:ident) => {
        $crate::__export!(on_schedule, export_on_schedule, OnSchedule, $plugin);
    };
    (OnWindowExpiring, $plugin:ident) => {
        $crate::__export!(on_window_expiring, export_on_window_expiring, OnWindowExpiring, $plugin);
    };
    (OnWindowClosed, $plugin:ident) => {
        $crate::__export!(on_window_closed, export_on_window_closed, OnWindowClosed, $plugin);
    };
    (OnDocumentsChanged, $plugin:ident) => {
        $crate::__export!(on_documents_changed, export_on_documents_changed, OnDocumentsChanged, $plugin);
    };
    (OnMessageStatus, $plugin:ident) => {
        $crate::__export!(on_message_status, export_on_message_status, OnMessageStatus, $plugin);
    };
    (OnJoinRequest, $plugin:ident) => {
        $crate::__export!(on_join_request, export_on_join_request, OnJoinRequest, $plugin);
    };
    (OnChannelChanged, $plugin:ident) => {
        $crate::__export!(on_channel_changed, export_on_channel_changed, OnChannelChanged, $plugin);
    };
    (OnContactChanged, $plugin:ident) => {
        $crate::__export!(on_contact_changed, export_on_contact_changed, OnContactChanged, $plugin);
    };
    (OnConsentChanged, $plugin:ident) => {
        $crate::__export!(on_consent_changed, export_on_consent_changed, OnConsentChanged, $plugin);
    };
    (OnGroupChanged, $plugin:ident) => {
        $crate::__export!(on_group_changed, export_on_group_changed, OnGroupChanged, $plugin);
    };
    (OnEcho, $plugin:ident) => {
        $crate::__export!(on_echo, export_on_echo, OnEcho, $plugin);
    };
    (OnWebhook, $plugin:ident) => {
        $crate::__export!(on_webhook, export_on_webhook, OnWebhook, $plugin);
    };
    (OnResponse, $plugin:ident) => {
        $crate::__export!(on_response, export_on_response, OnResponse, $plugin);
    };
    ($module:ident, $export:ident, $($trait:ident)::+, $plugin:ident) => {
        const _: () = {
            // tidy: used in wasm, where an expectation would fail
            #[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "used by the export, which exists in wasm only"))]
            type Exports = $crate::shim::Shim<$plugin>;
            #[cfg(target_family = "wasm")]
    $crate::bindings::$module::$export!(Exports with_types_in $crate::bindings::$module);
            const fn implements<P: $crate::$($trait)::+>() {}
            implements::<$plugin>();
        };
    };
    ($other:ident, $plugin:ident) => {
        compile_error!(concat!(
            "`",
            stringify!($other),
            "` is not an event. Events: OnMessage, OnReaction, OnMemberJoined, OnMemberLeft, \
             OnTimer, OnSchedule, OnWindowExpiring, OnWindowClosed, OnDocumentsChanged, OnMessageStatus, \
             OnJoinRequest, OnChannelChanged, OnContactChanged, OnConsentChanged, OnGroupChanged, OnEcho, OnWebhook, OnResponse. `Migration` and `Privacy` may be listed too; `Settings` must be first."
        ));
    };
}
