//! Injected faults, and the settings of the simulated platform; both are changed with
//! `POST /control/faults`.
//!
//! A fault occurs with a probability, for the next `next` times, or both. `next` takes precedence
//! and draws no random number, so that a test that needs exactly three failures gets exactly three.
//! The effect of each fault and setting is documented here.

use crate::rng::Rng;
use serde::{Deserialize, Serialize};

/// When a fault occurs, and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fault {
    /// The probability each time, 0 to 1.
    pub probability: f64,
    /// The number of next times for which it occurs with certainty.
    pub next: u64,
    /// The duration in milliseconds, for faults that have one.
    pub ms: Option<u64>,
    /// The platform's error code, for faults that have one.
    pub code: Option<u32>,
    /// Limits the fault to these message types (sends) or states (receipts). Empty means all.
    pub only: Vec<String>,
}

impl Fault {
    /// Decides whether the fault occurs for a message or receipt of this kind.
    fn occurs(&mut self, rng: &mut Rng, kind: &str) -> bool {
        if !self.only.is_empty() && !self.only.iter().any(|only| only == kind) {
            return false;
        }
        if self.next > 0 {
            self.next -= 1;
            return true;
        }
        rng.chance(self.probability)
    }
}

/// How a send that a rule forbids is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WindowRule {
    /// With an error response.
    #[default]
    Sync,
    /// It is accepted, then gets a `failed` status.
    Async,
    /// The rule is not enforced.
    Off,
}

/// What happens to a message to a number that does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnknownNumbers {
    /// Accepted, then `failed` with 131026.
    #[default]
    Undeliverable,
    /// A person with that number and an open window is created.
    Create,
}

/// How a template's review ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Review {
    #[default]
    Approve,
    Reject,
    /// Through the control API.
    Manual,
}

macro_rules! faults {
    (faults { $($(#[$fault_doc:meta])* $fault:ident,)* } settings { $($(#[$doc:meta])* $name:ident: $kind:ty = $default:expr,)* }) => {
        /// All faults and settings.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct Faults {
            $($(#[$fault_doc])* pub $fault: Fault,)*
            $($(#[$doc])* pub $name: $kind,)*
        }

        impl Default for Faults {
            fn default() -> Self {
                Self { $($fault: Fault::default(),)* $($name: $default,)* }
            }
        }

        impl Faults {
            fn named_faults(&self) -> impl Iterator<Item = (&'static str, &Fault)> {
                [$((stringify!($fault), &self.$fault),)*].into_iter()
            }
        }
    };
}

faults! {
    faults {
        /// The response is an error (`code`, 131000 by default) with its JSON and status; nothing
        /// is accepted.
        send_error,
        /// HTTP 500 without JSON; nothing is accepted.
        send_http_500,
        /// HTTP 503 without JSON; nothing is accepted.
        send_http_503,
        /// No response; nothing is accepted.
        send_timeout,
        /// No response, but the message is accepted and delivered.
        send_timeout_after,
        /// The connection is closed; nothing is accepted.
        send_drop_before,
        /// The connection is closed, but the message is accepted and delivered: the lost response
        /// that duplicates messages.
        send_drop_after,
        /// The response takes `ms` (1,000) of real time.
        send_slow,
        /// Accepted, then a `failed` status with `code` (131026).
        send_async_failure,
        /// Calls other than messages are answered with `code` (131000). `only`: media, templates,
        /// groups, account.
        call_error,
        /// The asynchronous part of a group operation fails with `code` (131000). `only`: create,
        /// delete, settings, remove, approve.
        group_async_failure,
        /// A marketing message is not delivered (131049).
        marketing_capped,
        /// The receipt is not sent, although the state is reached.
        receipt_lost,
        /// The receipt is sent `ms` (60,000) later by the simulator's clock.
        receipt_delayed,
        /// The receipt is sent twice.
        receipt_duplicated,
        /// The receipt is held for `ms` (100) of real time, so that later ones overtake it.
        receipt_reordered,
        /// The same bytes are delivered again.
        webhook_duplicated,
        /// The same updates are delivered again in another body.
        webhook_rebatched,
        /// The update is held for up to `ms` (100) of real time, so that later ones overtake it.
        webhook_reordered,
        /// The update is delivered `ms` (60,000) later by the simulator's clock.
        webhook_delayed,
    }
    settings {
        /// Webhooks are not delivered but wait.
        webhooks_paused: bool = false,
        /// Maximum number of updates in one POST, 1 to 1,000. More than one also mixes entries and
        /// changes.
        max_batch_size: usize = 1,
        /// How long to collect updates for a batch, in real milliseconds.
        batch_wait_ms: u64 = 0,
        /// Delay before the first retry of a delivery. It doubles with each retry. Meta publishes
        /// no schedule.
        retry_initial_ms: i64 = 500,
        /// Maximum delay before a retry.
        retry_max_ms: i64 = 600_000,
        /// Time limit of a delivery, in real milliseconds.
        webhook_timeout_ms: u64 = 10_000,
        /// Whether receipts are sent; `false` for load on the sending side alone.
        receipts: bool = true,
        /// Time between accepted, sent and delivered.
        receipt_delay_ms: i64 = 0,
        /// People read messages immediately.
        auto_read: bool = false,
        /// How sends outside the 24-hour window are refused.
        window: WindowRule = WindowRule::Sync,
        /// What happens to messages to numbers that do not exist.
        unknown_numbers: UnknownNumbers = UnknownNumbers::Undeliverable,
        /// Enforces one message per 6 s to one person, after a burst of 45 (131056).
        pair_rate: bool = false,
        /// Maximum number of messages per second (130429); 0 is unlimited. Meta's limit is 80 at
        /// first, later 1,000.
        throughput_per_second: u32 = 0,
        /// Maximum number of people to whom the business may write first within 24 hours; 0 is
        /// unlimited. Meta's limits are 250, 2,000, 10,000 and 100,000.
        messaging_limit: u32 = 0,
        /// The error code above that limit; Meta does not document one.
        messaging_limit_code: u32 = 131_048,
        /// Names of templates that exist in addition to those created through the API. While there
        /// are neither, every name is accepted.
        templates: Vec<String> = Vec::new(),
        /// How template reviews end.
        template_review: Review = Review::Approve,
        /// How long a template review takes.
        template_review_ms: i64 = 0,
        /// Template messages are held for quality assessment.
        template_hold: bool = false,
        /// How long they are held. Then they are sent, or fail if the template was paused
        /// meanwhile.
        template_hold_ms: i64 = 60_000,
        /// How marketing messages are refused to people who opted out (131050), to US numbers and
        /// under `marketing_capped` (131049).
        marketing: WindowRule = WindowRule::Async,
        /// Length of a free entry point. It was 72 hours in the past.
        entry_point_hours: u32 = 168,
        /// Whether the account has a payment method. Without one, service messages end with the
        /// free tier (131042).
        payment_method: bool = true,
        /// Messages may have a `category` and then need no template.
        direct_send: bool = false,
        /// The number accepts calls; otherwise call buttons are refused (138000).
        calls: bool = true,
        /// Every call is answered with 190.
        token_expired: bool = false,
        /// Whether the number may have groups (131215).
        groups_eligible: bool = true,
        /// Time until the asynchronous part of a group operation.
        group_delay_ms: i64 = 0,
        /// Maximum number of group operations per minute (131208); 0 is unlimited.
        group_operations_per_minute: u32 = 0,
        /// Group webhooks vary as Meta's documentation does: the spelling of the participant's key,
        /// the place of `initiated_by`, numbers for strings.
        group_variants: bool = false,
        /// Every status has a `conversation`, as before v24.
        conversation_objects: bool = false,
        /// System messages about changed numbers and ids contain the previous ones.
        previous_ids: bool = true,
    }
}

/// The fault that affects one send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendFault {
    Error(u32),
    Bare(u16),
    Timeout,
    TimeoutAfter,
    DropBefore,
    DropAfter,
    Slow(u64),
    FailedLater(u32),
}

impl Faults {
    /// Decides which fault affects a send of this type; at most one.
    pub(crate) fn send_fault(&mut self, rng: &mut Rng, kind: &str) -> Option<SendFault> {
        let mut faults = [
            (&mut self.send_drop_before, SendFault::DropBefore),
            (&mut self.send_timeout, SendFault::Timeout),
            (&mut self.send_http_500, SendFault::Bare(500)),
            (&mut self.send_http_503, SendFault::Bare(503)),
            (&mut self.send_error, SendFault::Error(131_000)),
            (&mut self.send_async_failure, SendFault::FailedLater(131_026)),
            (&mut self.send_drop_after, SendFault::DropAfter),
            (&mut self.send_timeout_after, SendFault::TimeoutAfter),
            (&mut self.send_slow, SendFault::Slow(1_000)),
        ];
        let (fault, effect) = faults
            .iter_mut()
            .find_map(|(fault, effect)| fault.occurs(rng, kind).then(|| ((*fault).clone(), effect.clone())))?;
        Some(match effect {
            SendFault::Error(code) => SendFault::Error(fault.code.unwrap_or(code)),
            SendFault::FailedLater(code) => SendFault::FailedLater(fault.code.unwrap_or(code)),
            SendFault::Slow(ms) => SendFault::Slow(fault.ms.unwrap_or(ms)),
            other => other,
        })
    }

    /// The error code that a call other than a send is answered with.
    pub(crate) fn call_fault(&mut self, rng: &mut Rng, area: &str) -> Option<u32> {
        self.call_error.occurs(rng, area).then(|| self.call_error.code.unwrap_or(131_000))
    }

    /// The error code with which the asynchronous part of a group operation fails.
    pub(crate) fn group_fault(&mut self, rng: &mut Rng, operation: &str) -> Option<u32> {
        self.group_async_failure.occurs(rng, operation).then(|| self.group_async_failure.code.unwrap_or(131_000))
    }

    pub(crate) fn marketing_capped(&mut self, rng: &mut Rng) -> bool {
        self.marketing_capped.occurs(rng, "")
    }

    /// Decides which faults affect a receipt of this state.
    pub(crate) fn receipt_fault(&mut self, rng: &mut Rng, state: &str) -> ReceiptFault {
        ReceiptFault {
            lost: self.receipt_lost.occurs(rng, state),
            duplicated: self.receipt_duplicated.occurs(rng, state),
            delay_ms: self.receipt_delayed.occurs(rng, state).then(|| self.receipt_delayed.ms.unwrap_or(60_000)),
            hold_real_ms: self.receipt_reordered.occurs(rng, state).then(|| self.receipt_reordered.ms.unwrap_or(100)),
        }
    }

    /// Decides which faults affect the delivery of an update.
    pub(crate) fn webhook_fault(&mut self, rng: &mut Rng) -> WebhookFault {
        let hold = self.webhook_reordered.occurs(rng, "");
        WebhookFault {
            rebatched: self.webhook_rebatched.occurs(rng, ""),
            delay_ms: self.webhook_delayed.occurs(rng, "").then(|| self.webhook_delayed.ms.unwrap_or(60_000)),
            // Random, because two updates that are held for the same time would keep their order.
            hold_real_ms: hold.then(|| 1 + rng.below(self.webhook_reordered.ms.unwrap_or(100))),
        }
    }

    /// Decides whether a body is posted twice.
    pub(crate) fn webhook_duplicated(&mut self, rng: &mut Rng) -> bool {
        self.webhook_duplicated.occurs(rng, "")
    }

    /// Checks the values; the error says what must hold.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (name, fault) in self.named_faults() {
            if !(0.0..=1.0).contains(&fault.probability) {
                return Err(format!("`{name}.probability` must be between 0 and 1"));
            }
        }
        if !(1..=1000).contains(&self.max_batch_size) {
            return Err("`max_batch_size` must be between 1 and 1000, Meta's maximum".to_owned());
        }
        if self.retry_initial_ms < 1 || self.retry_max_ms < self.retry_initial_ms {
            return Err("`retry_initial_ms` must be at least 1 and at most `retry_max_ms`".to_owned());
        }
        let delays = [
            ("receipt_delay_ms", self.receipt_delay_ms),
            ("template_review_ms", self.template_review_ms),
            ("template_hold_ms", self.template_hold_ms),
            ("group_delay_ms", self.group_delay_ms),
        ];
        if let Some((name, _)) = delays.into_iter().find(|(_, ms)| *ms < 0) {
            return Err(format!("`{name}` must not be negative"));
        }
        Ok(())
    }
}

/// See [`Faults::receipt_fault`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReceiptFault {
    pub lost: bool,
    pub duplicated: bool,
    pub delay_ms: Option<u64>,
    pub hold_real_ms: Option<u64>,
}

/// See [`Faults::webhook_fault`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WebhookFault {
    /// Also delivered in another body.
    pub rebatched: bool,
    pub delay_ms: Option<u64>,
    pub hold_real_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_three_times_are_exactly_three() {
        let send_error = Fault { next: 3, code: Some(130_429), ..Fault::default() };
        let mut faults = Faults { send_error, ..Faults::default() };
        let mut rng = Rng::new(1);
        let hits: Vec<_> = (0..5).map(|_| faults.send_fault(&mut rng, "text")).collect();
        let error = Some(SendFault::Error(130_429));
        assert_eq!(hits, [error.clone(), error.clone(), error, None, None]);
    }

    #[test]
    fn fault_can_be_limited_to_some_types() {
        let send_drop_after = Fault { next: 1, only: vec!["text".to_owned()], ..Fault::default() };
        let mut faults = Faults { send_drop_after, ..Faults::default() };
        let mut rng = Rng::new(1);
        assert_eq!(faults.send_fault(&mut rng, "reaction"), None);
        assert_eq!(faults.send_fault(&mut rng, "text"), Some(SendFault::DropAfter));
    }

    #[test]
    fn invalid_values_are_errors() {
        let faults =
            |text: &str| serde_json::from_str::<Faults>(text).map_err(|e| e.to_string()).and_then(|k| k.check());
        assert_eq!(faults(r#"{"receipt_lost": {"probability": 0.5, "only": ["read"]}, "window": "async"}"#), Ok(()));
        assert!(faults(r#"{"receipt_lost": {"probability": 2}}"#).is_err());
        assert!(faults(r#"{"max_batch_size": 0}"#).is_err());
        assert!(faults(r#"{"send_eror": {"next": 1}}"#).is_err_and(|e| e.contains("send_eror")));
    }

    #[test]
    fn readme_documents_every_fault_and_setting() {
        let readme = include_str!("../README.md");
        let faults = serde_json::to_value(Faults::default()).unwrap();
        let missing: Vec<_> =
            faults.as_object().unwrap().keys().filter(|name| !readme.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
