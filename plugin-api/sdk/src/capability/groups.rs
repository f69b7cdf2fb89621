//! Groups of the platform: a mirror to read, and changes as effects. Must be granted.
//!
//! A group is identified by its conversation (`cnv_…`); to write in a group, pass its `id` to
//! [`messages::send`](crate::messages::send). A change returns an id; its outcome is delivered as
//! [`OnGroupChanged`](crate::OnGroupChanged) with that id in `request`.

use crate::host;
use crate::types::{Contact, MessageId, Refusal};

pub use crate::bindings::imports::groups::{Group, JoinRequest};

/// Existing groups, of one channel or of all.
pub fn list(channel: Option<&str>) -> Result<Vec<Group>, Refusal> {
    host::groups::list(channel)
}

/// The group with this id, if there is one.
pub fn get(group: &str) -> Result<Option<Group>, Refusal> {
    host::groups::get(group)
}

/// The members of a group.
pub fn members(group: &str) -> Result<Vec<Contact>, Refusal> {
    host::groups::members(group)
}

/// Open requests to join a group.
pub fn join_requests(group: &str) -> Result<Vec<JoinRequest>, Refusal> {
    host::groups::join_requests(group)
}

/// Creates a group. The subject has 1 to 128 characters, the description at most 2048.
pub fn create(
    channel: &str,
    subject: &str,
    description: Option<&str>,
    approval_required: bool,
) -> Result<MessageId, Refusal> {
    host::groups::create(channel, subject, description, approval_required)
}

/// Changes subject and description. `None` leaves a field unchanged.
pub fn change(group: &str, subject: Option<&str>, description: Option<&str>) -> Result<MessageId, Refusal> {
    host::groups::change(group, subject, description)
}

/// Changes the picture, which must be a square JPEG of at least 192 pixels.
pub fn set_picture(group: &str, picture: &str) -> Result<MessageId, Refusal> {
    host::groups::set_picture(group, picture)
}

/// Deletes a group.
pub fn delete(group: &str) -> Result<MessageId, Refusal> {
    host::groups::delete(group)
}

/// Requests the invite link; with `reset`, a new one.
pub fn invite_link(group: &str, reset: bool) -> Result<MessageId, Refusal> {
    host::groups::invite_link(group, reset)
}

/// Approves or rejects join requests.
pub fn answer(group: &str, requests: &[String], approve: bool) -> Result<MessageId, Refusal> {
    host::groups::answer(group, requests, approve)
}

/// Removes 1 to 8 members. They cannot rejoin with the invite link.
pub fn remove(group: &str, contacts: &[String]) -> Result<MessageId, Refusal> {
    host::groups::remove(group, contacts)
}

/// Updates the mirror.
pub fn refresh(group: &str) -> Result<MessageId, Refusal> {
    host::groups::refresh(group)
}

/// Pins a message for 1 to 30 days.
pub fn pin(group: &str, message: &str, days: u32) -> Result<MessageId, Refusal> {
    host::groups::pin(group, message, days)
}

/// Removes a pin.
pub fn unpin(group: &str, message: &str) -> Result<MessageId, Refusal> {
    host::groups::unpin(group, message)
}
