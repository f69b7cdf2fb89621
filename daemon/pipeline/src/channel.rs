//! The port through which messages leave: what a platform's crate provides, and the responses it
//! may give.
//!
//! The outbox knows no HTTP and no platform's JSON. It hands over a [`SendRequest`] and gets a
//! [`SendResponse`] that says what to do next; the platform's table of errors becomes [`Advice`] on
//! the far side of this port.

use beadle_model::event::Problem;
use beadle_model::{Alias, Blame, MessageId, Outgoing};
use beadle_store::step::NewEvent;
use std::pin::Pin;

/// A connection to a platform that can send: a Cloud API number, a gateway's session.
pub trait Channel: Send + Sync + 'static {
    /// The channel's name in the configuration.
    fn name(&self) -> &str;

    /// What it shares with other channels (a token, a limit): a stop for that reason stops all
    /// channels with this name. Empty: nothing.
    fn app(&self) -> &str {
        ""
    }

    /// What a problem means that a receipt reports: what to do, and who can act. By the same table
    /// as the responses.
    fn assess(&self, _problem: &Problem) -> (Advice, Blame) {
        (Advice::Fail, Blame::Remote)
    }

    /// Sends one thing, once. Ends within the channel's own time-out and never panics.
    fn send<'a>(&'a self, request: &'a SendRequest) -> Pin<Box<dyn Future<Output = SendResponse> + Send + 'a>>;
}

/// One thing to send.
#[derive(Clone, Debug, PartialEq)]
pub struct SendRequest {
    /// Our id.
    pub message: MessageId,
    /// The recipient; in a group, `group` is the destination.
    pub to: Alias,
    /// The platform's group, where the destination is one.
    pub group: Option<String>,
    /// The content.
    pub body: Outgoing,
    /// What the platform returns with every receipt (`biz_opaque_callback_data`).
    pub callback: String,
}

/// What the platform said about a message that it has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acceptance {
    /// Its id; read marks and typing indicators have none.
    pub platform_id: Option<String>,
    /// Whether it is held for a quality assessment.
    pub is_held: bool,
    /// What else the response contained: these become events before the message counts as accepted.
    pub events: Vec<NewEvent>,
}

/// The result of a send.
#[derive(Clone, Debug, PartialEq)]
pub enum SendResponse {
    /// The platform has it.
    Accepted(Acceptance),
    /// The platform refused it.
    Refused(Problem, Advice),
    /// It did not leave: no connection was made.
    NotSent(String),
    /// Bytes left and no usable response came: the platform may have accepted it or not.
    Ambiguous(String),
}

impl SendResponse {
    /// Accepted under this id, and nothing else.
    pub fn accepted(platform_id: Option<String>) -> Self {
        SendResponse::Accepted(Acceptance { platform_id, ..Acceptance::default() })
    }
}

/// What to do after a refusal; a graver one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Advice {
    /// Nothing: it will always be refused.
    Fail,
    /// Try this message again, at growing intervals.
    Retry {
        /// Attempts in all.
        attempts: u32,
    },
    /// This recipient gets too much: wait for them alone (4^n seconds, by the platform's advice).
    SlowRecipient,
    /// The number sends too fast: the whole channel waits a little, then continues.
    SlowChannel,
    /// All numbers of the app together are too fast.
    SlowApp,
    /// The number may not write first for now, because people block or report it: templates and
    /// Direct Send wait, and answers go on.
    StopOutreach,
    /// The channel cannot send until a person acts (token, payment, ban): stop it and say so; what
    /// waits is kept.
    StopChannel,
    /// The same for all channels of the app: its token has expired.
    StopApp,
}
