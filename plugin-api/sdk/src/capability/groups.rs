//! The platform's groups: a mirror to read, and changes as effects. Must be granted.
//!
//! A change returns an id; what became of it comes as [`OnGroupChanged`](crate::OnGroupChanged) with that id in `asked`. To
//! write in a group, give its `conversation` to [`messages::send`](crate::messages::send).

use crate::{Contact, MessageId, Refusal, host};

pub use crate::bindings::imports::groups::{Group, JoinRequest};

/// Groups that are there, of one channel or of all.
pub fn list(channel: Option<&str>) -> Result<Vec<Group>, Refusal> {
    host::groups::list(channel)
}

/// A group by the platform's id.
pub fn get(group: &str) -> Result<Option<Group>, Refusal> {
    host::groups::get(group)
}

/// Who is in it.
pub fn members(group: &str) -> Result<Vec<Contact>, Refusal> {
    host::groups::members(group)
}

/// Who asks to come in.
pub fn join_requests(group: &str) -> Result<Vec<JoinRequest>, Refusal> {
    host::groups::join_requests(group)
}

/// A new group: subject 1 to 128 characters, description 2048 at most.
pub fn create(
    channel: &str,
    subject: &str,
    description: Option<&str>,
    approval_required: bool,
) -> Result<MessageId, Refusal> {
    host::groups::create(channel, subject, description, approval_required)
}

/// Another subject or description; what is `None` stays.
pub fn change(group: &str, subject: Option<&str>, description: Option<&str>) -> Result<MessageId, Refusal> {
    host::groups::change(group, subject, description)
}

/// Another picture: JPEG, square, 192 pixels at least.
pub fn set_picture(group: &str, picture: &str) -> Result<MessageId, Refusal> {
    host::groups::set_picture(group, picture)
}

/// The end of a group.
pub fn delete(group: &str) -> Result<MessageId, Refusal> {
    host::groups::delete(group)
}

/// Asks for the invite link, or for a new one.
pub fn invite_link(group: &str, reset: bool) -> Result<MessageId, Refusal> {
    host::groups::invite_link(group, reset)
}

/// Lets people in who asked, or not.
pub fn answer(group: &str, requests: &[String], approve: bool) -> Result<MessageId, Refusal> {
    host::groups::answer(group, requests, approve)
}

/// Removes 1 to 8 people; they cannot come back by the link.
pub fn remove(group: &str, contacts: &[String]) -> Result<MessageId, Refusal> {
    host::groups::remove(group, contacts)
}

/// Brings the mirror up to date.
pub fn refresh(group: &str) -> Result<MessageId, Refusal> {
    host::groups::refresh(group)
}

/// Pins a message for 1 to 30 days.
pub fn pin(group: &str, message: &str, days: u32) -> Result<MessageId, Refusal> {
    host::groups::pin(group, message, days)
}

/// Takes a pin out.
pub fn unpin(group: &str, message: &str) -> Result<MessageId, Refusal> {
    host::groups::unpin(group, message)
}
