//! The port through which messages leave: what a platform's crate has to offer, and the answers it may give.
//!
//! The outbox knows no HTTP and no JSON of any platform. It hands over a [`SendRequest`] and gets back one of a few answers
//! that say what to do next; the platform's table of errors becomes [`Advice`] on the far side of this port.

use beadle_model::event::Problem;
use beadle_model::{Alias, MessageId, Outgoing};
use beadle_store::step::NewEvent;
use std::pin::Pin;

/// A connection to a platform that can send: a Cloud API number, a gateway's session.
pub trait Channel: Send + Sync + 'static {
    /// The channel's name in the configuration.
    fn name(&self) -> &str;

    /// What it shares with other channels (a token, a limit): what stops one for that reason stops all with this name.
    /// Empty: nothing.
    fn app(&self) -> &str {
        ""
    }

    /// Sends one thing, once. Ends within the channel's own time-out and never panics.
    fn send<'a>(&'a self, shipment: &'a SendRequest) -> Pin<Box<dyn Future<Output = SendResponse> + Send + 'a>>;
}

/// One thing to send.
#[derive(Clone, Debug, PartialEq)]
pub struct SendRequest {
    /// Ours.
    pub message: MessageId,
    /// Whom to; in a group, the group is where it goes.
    pub to: Alias,
    /// The platform's group, where it goes to one.
    pub group: Option<String>,
    /// What.
    pub body: Outgoing,
    /// What the platform gives back with every receipt (`biz_opaque_callback_data`).
    pub callback: String,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq)]
pub enum SendResponse {
    /// The platform has it, under this id (read marks and typing have none).
    Accepted(Option<String>),
    /// The same, and the platform told something besides: these become events before the message counts as accepted.
    AcceptedWith(Option<String>, Vec<NewEvent>),
    /// The platform said no.
    Refused(Problem, Advice),
    /// It did not leave: the connection was never made.
    NotSent(String),
    /// Bytes went out and no answer came, or one that says nothing: nobody knows.
    Ambiguous(String),
}

/// What to do after a "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing: it will always be no.
    Fail,
    /// Try this one again, later and later; so many times at most.
    Retry {
        /// Tries in all.
        attempts: u32,
    },
    /// This recipient gets too much: wait for them alone (4^n seconds, the platform's advice).
    SlowRecipient,
    /// The number sends too fast: all of it waits a little, then goes on.
    SlowChannel,
    /// All numbers of the app together are too fast.
    SlowApp,
    /// The channel cannot send until a person has done something (token, payment, ban): stop it and say so; what waits, waits.
    StopChannel,
    /// The same for all channels of the app: its token has expired.
    StopApp,
}
