//! The events' records, which are those of the contract; nothing is converted.

use crate::bindings;

pub use bindings::on_channel_changed::exports::beadle::plugin::on_channel_changed::Event as ChannelChangedEvent;
pub use bindings::on_consent_changed::exports::beadle::plugin::on_consent_changed::Event as ConsentChangedEvent;
pub use bindings::on_contact_changed::exports::beadle::plugin::on_contact_changed::Event as ContactChangedEvent;
pub use bindings::on_documents_changed::exports::beadle::plugin::on_documents_changed::Event as DocumentsChangedEvent;
pub use bindings::on_echo::exports::beadle::plugin::on_echo::Event as EchoEvent;
pub use bindings::on_group_changed::exports::beadle::plugin::on_group_changed::Event as GroupChangedEvent;
pub use bindings::on_join_request::exports::beadle::plugin::on_join_request::Event as JoinRequestEvent;
pub use bindings::on_member_joined::exports::beadle::plugin::on_member_joined::Event as MemberJoinedEvent;
pub use bindings::on_member_left::exports::beadle::plugin::on_member_left::Event as MemberLeftEvent;
pub use bindings::on_message::exports::beadle::plugin::on_message::Event as MessageEvent;
pub use bindings::on_message_status::exports::beadle::plugin::on_message_status::{
    Event as MessageStatusEvent, Pricing, Problem,
};
pub use bindings::on_reaction::exports::beadle::plugin::on_reaction::Event as ReactionEvent;
pub use bindings::on_response::exports::beadle::plugin::on_response::{
    Event as ResponseEvent, GivenUp, Response as RequestResponse,
};
pub use bindings::on_schedule::exports::beadle::plugin::on_schedule::Event as ScheduleEvent;
pub use bindings::on_timer::exports::beadle::plugin::on_timer::Event as TimerEvent;
pub use bindings::on_webhook::exports::beadle::plugin::on_webhook::Event as WebhookEvent;
pub use bindings::on_window_closed::exports::beadle::plugin::on_window_closed::Event as WindowClosedEvent;
pub use bindings::on_window_expiring::exports::beadle::plugin::on_window_expiring::Event as WindowExpiringEvent;
