//! The contract's types that several events and capabilities share.

pub use crate::bindings::imports::types::{
    CallPermission, Choice, Contact, ContactId, Content, Context, Conversation, ConversationId, Disposition, Edited,
    Ending, EventInfo, Failure, Json, Location, Media, MediaId, MessageHandle, MessageId, Order, OrderItem, Other,
    Referral, Refusal, Scope, TimestampMs,
};
