//! What the sync needs of its host. Each handler is one transaction: its reads see its own writes,
//! and its effects are carried out together or not at all.

use crate::http::{HttpRequest, HttpResponse};
use crate::member::{Change, Member};
use std::fmt;

/// Whose state it is: what belongs to a contact is erased and merged with it by the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The plugin's.
    Plugin,
    /// A contact's.
    Contact(String),
}

/// Which share of the rate limit a request uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// At least half.
    #[default]
    Live,
    /// What live requests leave.
    Backfill,
}

/// A request that the host stores, sends, repeats and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableRequest {
    /// The same for the same request: the host does not store it twice, and sends it as the
    /// idempotency key.
    pub key: String,
    /// Requests with one order key are sent, and answered, one after the other.
    pub order: String,
    /// Which share of the rate limit it uses.
    pub lane: Lane,
    /// The request.
    pub http: HttpRequest,
    /// Returned with the response.
    pub context: Vec<u8>,
}

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFailure {
    /// The host's code.
    pub code: String,
    /// Whether it may have been carried out.
    pub may_be_executed: bool,
}

/// What a request resulted in.
pub type Outcome = Result<HttpResponse, RequestFailure>;

/// Why the host refused a call. The handler ends with it and is run again, or given up, as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostError(pub String);

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The result of a call.
pub type HostResult<T = ()> = Result<T, HostError>;

/// A page of ids, and where the next one starts.
pub type IdPage = (Vec<String>, Option<String>);

/// The host.
pub trait Host {
    /// The time of the handler, in milliseconds since 1970.
    fn now_ms(&self) -> i64;

    /// A value of the state.
    fn get(&self, scope: &Scope, key: &str) -> HostResult<Option<Vec<u8>>>;

    /// Sets a value of the state.
    fn set(&mut self, scope: &Scope, key: &str, value: Vec<u8>) -> HostResult;

    /// Deletes a value of the state.
    fn delete(&mut self, scope: &Scope, key: &str) -> HostResult;

    /// Keys with a prefix and their values, after a key, in order.
    fn scan(
        &self,
        scope: &Scope,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> HostResult<Vec<(String, Vec<u8>)>>;

    /// A member. The id of a merged contact returns the one that was kept.
    fn member(&self, id: &str) -> HostResult<Option<Member>>;

    /// The contact with a number.
    fn find_phone(&self, digits: &str) -> HostResult<Option<String>>;

    /// The contact with one of WhatsApp's user ids.
    fn find_user_id(&self, user_id: &str) -> HostResult<Option<String>>;

    /// Ids of all contacts, in a fixed order.
    fn members(&self, after: Option<&str>, limit: usize) -> HostResult<IdPage>;

    /// Changes fields of a member. Returns the fields that were refused, with reasons.
    fn change(&mut self, id: &str, changes: &[Change]) -> HostResult<Vec<(String, String)>>;

    /// Sends a request after the commit.
    fn request(&mut self, request: DurableRequest) -> HostResult;

    /// Sets, or moves, a timer of the plugin.
    fn timer(&mut self, key: &str, at_ms: i64) -> HostResult;

    /// Writes a line for the operator. It names no number.
    fn log(&mut self, line: &str);
}
