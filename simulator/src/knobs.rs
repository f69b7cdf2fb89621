//! What goes wrong on demand, and the settings of this WhatsApp; all of it by `POST /control/faults`.
//!
//! A fault strikes with a probability, or the next so many times, or both. `next` comes first and draws no chance, so
//! that a test that wants exactly three failures gets exactly three. What each fault does is said once: here.

use crate::chance::Chance;
use serde::{Deserialize, Serialize};

/// One thing that can go wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fault {
    /// How likely it is each time, 0 to 1.
    pub probability: f64,
    /// It happens for sure so many times more.
    pub next: u64,
    /// How long, for the faults that take time; milliseconds.
    pub ms: Option<u64>,
    /// The platform's error code, for the faults that have one.
    pub code: Option<u32>,
    /// Only for these: types of message for the sends, states for the receipts. Empty is all.
    pub only: Vec<String>,
}

impl Fault {
    fn strikes(&mut self, chance: &mut Chance, what: &str) -> bool {
        if !self.only.is_empty() && !self.only.iter().any(|only| only == what) {
            return false;
        }
        if self.next > 0 {
            self.next -= 1;
            return true;
        }
        chance.happens(self.probability)
    }
}

/// How sends outside the window are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WindowRule {
    /// In the answer.
    #[default]
    Sync,
    /// Accepted, then a `failed` status.
    Async,
    /// Not at all.
    Off,
}

/// What becomes of a message to a number that nobody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Strangers {
    /// Accepted, then `failed` with 131026.
    #[default]
    Undeliverable,
    /// Somebody with that number appears, in an open window.
    Appear,
}

/// How a template's review ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Review {
    #[default]
    Approve,
    Reject,
    /// By a hand on the control API.
    Manual,
}

macro_rules! knobs {
    (faults { $($(#[$fault_doc:meta])* $fault:ident,)* } settings { $($(#[$doc:meta])* $name:ident: $kind:ty = $default:expr,)* }) => {
        /// Every knob, as it stands.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct Knobs {
            $($(#[$fault_doc])* pub $fault: Fault,)*
            $($(#[$doc])* pub $name: $kind,)*
        }

        impl Default for Knobs {
            fn default() -> Self {
                Self { $($fault: Fault::default(),)* $($name: $default,)* }
            }
        }

        impl Knobs {
            fn faults(&self) -> impl Iterator<Item = (&'static str, &Fault)> {
                [$((stringify!($fault), &self.$fault),)*].into_iter()
            }
        }
    };
}

knobs! {
    faults {
        /// The answer is an error (`code`, 131000 by default) with its JSON and status; nothing is accepted.
        send_error,
        /// 500 with no JSON in it; nothing is accepted.
        send_bare_500,
        /// 503 with no JSON in it; nothing is accepted.
        send_503,
        /// No answer ever; nothing is accepted.
        send_timeout,
        /// No answer ever; the message was accepted and is delivered.
        send_timeout_after,
        /// The connection is dropped; nothing is accepted.
        send_drop_before,
        /// The connection is dropped; the message was accepted and is delivered. The lost answer that doubles messages.
        send_drop_after,
        /// The answer takes `ms` (1,000) of real time.
        send_slow,
        /// Accepted, then a `failed` status with `code` (131026).
        send_failed_later,
        /// Other calls than messages are answered with `code` (131000). `only`: media, templates, groups, account.
        call_error,
        /// The second half of an operation on a group fails with `code` (131000). `only`: create, delete, settings, remove, approve.
        group_failed_later,
        /// A marketing message is not delivered (131049).
        marketing_capped,
        /// The receipt never comes (the state is reached all the same).
        receipt_lost,
        /// The receipt comes `ms` (60,000) of civil time later.
        receipt_late,
        /// The receipt comes twice.
        receipt_duplicated,
        /// The receipt is overtaken by those after it: it is held for `ms` (100) of real time.
        receipt_disordered,
        /// The same bytes are delivered again.
        webhook_duplicated,
        /// The same updates are delivered again, in another body.
        webhook_rebatched,
        /// The update is overtaken by those after it: it is held for up to `ms` (100) of real time.
        webhook_shuffled,
        /// The update is held for `ms` (60,000) of civil time.
        webhook_delayed,
    }
    settings {
        /// Nothing is delivered to the callback while this is so; it waits.
        webhooks_paused: bool = false,
        /// Updates in one POST at most, where so many are waiting: 1 to 1,000. More than one also mixes entries and changes.
        batch_most: usize = 1,
        /// How long to gather for a batch, in real milliseconds.
        batch_gather_ms: u64 = 0,
        /// Back-off after a delivery that was not answered 200: the first wait, doubled each time, …
        retry_first_ms: i64 = 500,
        /// … up to this. (Meta: "decreasing frequency, up to 7 days"; no schedule is published.)
        retry_most_ms: i64 = 600_000,
        /// How long a delivery may take, in real milliseconds.
        webhook_timeout_ms: u64 = 10_000,
        /// No receipts at all where false: for load on the sending side alone.
        receipts: bool = true,
        /// Civil time between accepted, sent and delivered.
        receipt_delay_ms: i64 = 0,
        /// Whoever gets a message reads it at once.
        auto_read: bool = false,
        /// Sends outside the 24-hour window.
        window: WindowRule = WindowRule::Sync,
        /// Messages to numbers that nobody has.
        strangers: Strangers = Strangers::Undeliverable,
        /// Hold senders to one message each 6 s to one person, 45 ahead (131056).
        pair_rate: bool = false,
        /// Hold senders to so many messages a second (130429); 0 is no limit. Meta's is 80, later 1,000.
        throughput_per_second: u32 = 0,
        /// People to whom the business may write first within 24 hours; 0 is no limit. The platform's: 250, 2,000, 10,000, 100,000.
        messaging_limit: u32 = 0,
        /// What is answered above that; the platform's pages name no code.
        messaging_limit_code: u32 = 131_048,
        /// The templates that exist beside those that were made, by name; while there is neither, every template does.
        templates: Vec<String> = Vec::new(),
        /// How reviews of templates end.
        template_review: Review = Review::Approve,
        /// Civil time that a review takes.
        template_review_ms: i64 = 0,
        /// Templates are held for quality assessment …
        template_hold: bool = false,
        /// … for so long; then they go, or fail where the template was paused meanwhile.
        template_hold_ms: i64 = 60_000,
        /// Marketing to those who stopped it (131050), to the United States and whom `marketing_capped` strikes (131049).
        marketing: WindowRule = WindowRule::Async,
        /// How long all is free for who came by an ad and was answered within a day. It was 72 once.
        entry_point_hours: u32 = 168,
        /// With none, service messages end with the free tier (131042).
        payment_method: bool = true,
        /// Messages may name a `category` and need no template.
        direct_send: bool = false,
        /// The number can be called: else call buttons are refused (138000).
        calls: bool = true,
        /// Every call is answered with 190.
        token_expired: bool = false,
        /// Whether the number may have groups (131215).
        groups_eligible: bool = true,
        /// Civil time until the second half of an operation on a group.
        group_delay_ms: i64 = 0,
        /// Operations on groups a minute (131208); 0 is no limit.
        group_operations_per_minute: u32 = 0,
        /// Group webhooks vary as Meta's own pages do: spelling of the participant's key, place of `initiated_by`, numbers.
        group_variants: bool = false,
        /// Statuses have a `conversation`, as before v24.
        conversation_objects: bool = false,
        /// System messages of changed numbers and ids say what they were before.
        previous_ids: bool = true,
    }
}

/// What befalls one send.
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

impl Knobs {
    /// What befalls a send of this type; at most one thing.
    pub(crate) fn send_fault(&mut self, chance: &mut Chance, kind: &str) -> Option<SendFault> {
        let mut faults = [
            (&mut self.send_drop_before, SendFault::DropBefore),
            (&mut self.send_timeout, SendFault::Timeout),
            (&mut self.send_bare_500, SendFault::Bare(500)),
            (&mut self.send_503, SendFault::Bare(503)),
            (&mut self.send_error, SendFault::Error(131_000)),
            (&mut self.send_failed_later, SendFault::FailedLater(131_026)),
            (&mut self.send_drop_after, SendFault::DropAfter),
            (&mut self.send_timeout_after, SendFault::TimeoutAfter),
            (&mut self.send_slow, SendFault::Slow(1_000)),
        ];
        let (fault, effect) = faults
            .iter_mut()
            .find_map(|(fault, effect)| fault.strikes(chance, kind).then(|| ((*fault).clone(), effect.clone())))?;
        Some(match effect {
            SendFault::Error(code) => SendFault::Error(fault.code.unwrap_or(code)),
            SendFault::FailedLater(code) => SendFault::FailedLater(fault.code.unwrap_or(code)),
            SendFault::Slow(ms) => SendFault::Slow(fault.ms.unwrap_or(ms)),
            other => other,
        })
    }

    /// The code that another call is answered with.
    pub(crate) fn call_fault(&mut self, chance: &mut Chance, what: &str) -> Option<u32> {
        self.call_error.strikes(chance, what).then(|| self.call_error.code.unwrap_or(131_000))
    }

    /// The code that the second half of an operation on a group fails with.
    pub(crate) fn group_fault(&mut self, chance: &mut Chance, what: &str) -> Option<u32> {
        self.group_failed_later.strikes(chance, what).then(|| self.group_failed_later.code.unwrap_or(131_000))
    }

    pub(crate) fn marketing_capped(&mut self, chance: &mut Chance) -> bool {
        self.marketing_capped.strikes(chance, "")
    }

    /// What befalls one receipt of this state: (lost, twice, late by civil ms, held for real ms).
    pub(crate) fn receipt_fault(&mut self, chance: &mut Chance, state: &str) -> ReceiptFault {
        ReceiptFault {
            lost: self.receipt_lost.strikes(chance, state),
            twice: self.receipt_duplicated.strikes(chance, state),
            late_ms: self.receipt_late.strikes(chance, state).then(|| self.receipt_late.ms.unwrap_or(60_000)),
            held_ms: self.receipt_disordered.strikes(chance, state).then(|| self.receipt_disordered.ms.unwrap_or(100)),
        }
    }

    /// What befalls one update on its way.
    pub(crate) fn webhook_fault(&mut self, chance: &mut Chance) -> WebhookFault {
        let held = self.webhook_shuffled.strikes(chance, "");
        WebhookFault {
            again: self.webhook_rebatched.strikes(chance, ""),
            delay_ms: self.webhook_delayed.strikes(chance, "").then(|| self.webhook_delayed.ms.unwrap_or(60_000)),
            // Two updates held for the same time would keep their order.
            held_ms: held.then(|| 1 + chance.below(self.webhook_shuffled.ms.unwrap_or(100))),
        }
    }

    /// Whether these bytes are posted twice.
    pub(crate) fn same_bytes_again(&mut self, chance: &mut Chance) -> bool {
        self.webhook_duplicated.strikes(chance, "")
    }

    /// What is wrong with them, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (name, fault) in self.faults() {
            if !(0.0..=1.0).contains(&fault.probability) {
                return Err(format!("{name}.probability is {}, not between 0 and 1", fault.probability));
            }
        }
        if !(1..=1000).contains(&self.batch_most) {
            return Err("batch_most is 1 to 1000, as many as Meta puts into a POST".to_owned());
        }
        if self.retry_first_ms < 1 || self.retry_most_ms < self.retry_first_ms {
            return Err("retry_first_ms is at least 1 and retry_most_ms at least that".to_owned());
        }
        let waits = [
            ("receipt_delay_ms", self.receipt_delay_ms),
            ("template_review_ms", self.template_review_ms),
            ("template_hold_ms", self.template_hold_ms),
            ("group_delay_ms", self.group_delay_ms),
        ];
        if let Some((name, _)) = waits.into_iter().find(|(_, ms)| *ms < 0) {
            return Err(format!("{name} is not negative"));
        }
        Ok(())
    }
}

/// See [`Knobs::receipt_fault`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReceiptFault {
    pub lost: bool,
    pub twice: bool,
    pub late_ms: Option<u64>,
    pub held_ms: Option<u64>,
}

/// See [`Knobs::webhook_fault`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WebhookFault {
    pub again: bool,
    pub delay_ms: Option<u64>,
    pub held_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_three_are_exactly_three() {
        let send_error = Fault { next: 3, code: Some(130_429), ..Fault::default() };
        let mut knobs = Knobs { send_error, ..Knobs::default() };
        let mut chance = Chance::new(1);
        let hits: Vec<_> = (0..5).map(|_| knobs.send_fault(&mut chance, "text")).collect();
        let error = Some(SendFault::Error(130_429));
        assert_eq!(hits, [error.clone(), error.clone(), error, None, None]);
    }

    #[test]
    fn a_fault_can_be_for_some_types_only() {
        let send_drop_after = Fault { next: 1, only: vec!["text".to_owned()], ..Fault::default() };
        let mut knobs = Knobs { send_drop_after, ..Knobs::default() };
        let mut chance = Chance::new(1);
        assert_eq!(knobs.send_fault(&mut chance, "reaction"), None);
        assert_eq!(knobs.send_fault(&mut chance, "text"), Some(SendFault::DropAfter));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let knobs = |text: &str| serde_json::from_str::<Knobs>(text).map_err(|e| e.to_string()).and_then(|k| k.check());
        assert_eq!(knobs(r#"{"receipt_lost": {"probability": 0.5, "only": ["read"]}, "window": "async"}"#), Ok(()));
        assert!(knobs(r#"{"receipt_lost": {"probability": 2}}"#).is_err());
        assert!(knobs(r#"{"batch_most": 0}"#).is_err());
        assert!(knobs(r#"{"send_eror": {"next": 1}}"#).is_err_and(|e| e.contains("send_eror")));
    }

    #[test]
    fn every_knob_is_in_the_readme() {
        let readme = include_str!("../README.md");
        let knobs = serde_json::to_value(Knobs::default()).unwrap();
        let missing: Vec<_> =
            knobs.as_object().unwrap().keys().filter(|name| !readme.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
