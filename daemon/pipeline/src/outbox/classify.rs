//! What follows from the platform's response: one pure function.
//!
//! It decides three things together: the outcome for the row on disk, whether the conversation
//! waits for it, and whether the channel pauses (docs/design.md#sending).

use crate::channel::{Acceptance, Advice, SendResponse};
use beadle_model::Outgoing;
use beadle_model::event::Problem;
use beadle_store::step::SendOutcome;

/// What follows from a response.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SendVerdict {
    /// The message is settled.
    Settle(SendOutcome),
    /// It is tried again after this time; the conversation's next message waits for it where
    /// `blocks` is set.
    Retry { after_ms: i64, counted: bool, blocks: bool },
    /// The channel pauses, and this message with it.
    Pause(ChannelPause),
    /// All channels of the app pause, and this message with them.
    PauseApp(ChannelPause),
    /// What the business sends first on this channel waits, and this message with it.
    HoldOutreach(Problem),
    /// It may or may not have been accepted.
    Ambiguous(String),
}

/// Why a channel does not send for now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ChannelPause {
    /// Too fast, or no connection: a short, growing pause.
    Short(Problem),
    /// Until a person acts.
    Stopped(Problem),
}

/// Pauses before the second, third, … attempt of a message that the platform could not take: four
/// in about a minute and a half cover what is transient; what lasts longer is for a person.
const RETRY_PAUSES_MS: [i64; 4] = [1000, 4000, 16_000, 64_000];
/// A message that is tried again within this time blocks the later ones of its conversation, so
/// that replies keep their order. So does an ambiguous one.
pub(crate) const BLOCK_MS: i64 = 10_000;
/// The platform's advice for one recipient (code 131056): 4^n seconds …
const PAIR_BASE: i64 = 4;
/// … up to this many steps (4^4 s is over 4 minutes, in which a full burst is paid back).
const PAIR_STEPS: u32 = 4;
/// Attempts with a slow recipient before a person has to decide: over half an hour.
const PAIR_TRIES: u32 = 10;

/// What follows from a response. `attempts`: attempts before this one.
pub(crate) fn classify(response: SendResponse, body: &Outgoing, attempts: u32) -> SendVerdict {
    match response {
        SendResponse::Accepted(Acceptance { platform_id, is_held: true, .. }) => {
            SendVerdict::Settle(SendOutcome::Held(platform_id))
        }
        SendResponse::Accepted(accepted) => SendVerdict::Settle(SendOutcome::Accepted(accepted.platform_id)),
        SendResponse::Ambiguous(reason) => SendVerdict::Ambiguous(reason),
        SendResponse::NotSent(reason) => SendVerdict::Pause(ChannelPause::Short(problem(
            "platform-unreachable",
            "The platform could not be reached",
            reason,
        ))),
        SendResponse::Refused(problem, advice) => refused(problem, advice, body, attempts),
    }
}

fn refused(problem: Problem, advice: Advice, body: &Outgoing, attempts: u32) -> SendVerdict {
    match advice {
        Advice::Fail => SendVerdict::Settle(SendOutcome::Failed(problem)),
        Advice::SlowChannel => SendVerdict::Pause(ChannelPause::Short(problem)),
        Advice::StopOutreach => SendVerdict::HoldOutreach(problem),
        Advice::StopChannel => SendVerdict::Pause(ChannelPause::Stopped(problem)),
        Advice::SlowApp => SendVerdict::PauseApp(ChannelPause::Short(problem)),
        Advice::StopApp => SendVerdict::PauseApp(ChannelPause::Stopped(problem)),
        // Read marks and typing indicators: the moment has passed.
        Advice::Retry { .. } | Advice::SlowRecipient if !body.is_retryable() => {
            SendVerdict::Settle(SendOutcome::Dropped)
        }
        Advice::Retry { attempts: most } if attempts + 1 >= most => SendVerdict::Settle(SendOutcome::Dead(problem)),
        Advice::Retry { .. } => {
            let nth = usize::try_from(attempts).unwrap_or(usize::MAX);
            let pause_ms = RETRY_PAUSES_MS.get(nth).or(RETRY_PAUSES_MS.last()).copied().unwrap_or(BLOCK_MS);
            // What has no order blocks nothing, and waits on disk.
            let blocks = pause_ms < BLOCK_MS && body.is_message();
            SendVerdict::Retry { after_ms: pause_ms, counted: true, blocks }
        }
        Advice::SlowRecipient if attempts + 1 >= PAIR_TRIES => SendVerdict::Settle(SendOutcome::Dead(problem)),
        Advice::SlowRecipient => {
            let pause_ms = PAIR_BASE.saturating_pow(attempts.min(PAIR_STEPS)).saturating_mul(1000);
            // Later messages are for the same recipient and would get the same response.
            SendVerdict::Retry { after_ms: pause_ms, counted: true, blocks: body.is_message() }
        }
    }
}

/// What the problem of a failed receipt means for what is sent from now on. The message itself has
/// failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ReceiptVerdict {
    /// Nothing.
    Continue,
    /// The conversation waits for this long.
    SlowRecipient { pause_ms: i64 },
    /// What the business sends first on this channel waits.
    HoldOutreach(Problem),
    /// The channel pauses.
    Pause(ChannelPause),
    /// All channels of the app pause.
    PauseApp(ChannelPause),
}

/// See [`ReceiptVerdict`].
pub(crate) fn classify_receipt(problem: Problem, advice: Advice) -> ReceiptVerdict {
    match advice {
        Advice::Fail | Advice::Retry { .. } => ReceiptVerdict::Continue,
        Advice::SlowRecipient => ReceiptVerdict::SlowRecipient { pause_ms: PAIR_BASE * 1000 },
        Advice::StopOutreach => ReceiptVerdict::HoldOutreach(problem),
        Advice::SlowChannel => ReceiptVerdict::Pause(ChannelPause::Short(problem)),
        Advice::StopChannel => ReceiptVerdict::Pause(ChannelPause::Stopped(problem)),
        Advice::SlowApp => ReceiptVerdict::PauseApp(ChannelPause::Short(problem)),
        Advice::StopApp => ReceiptVerdict::PauseApp(ChannelPause::Stopped(problem)),
    }
}

/// A problem that the host states.
pub(crate) fn problem(code: &str, title: &str, details: impl Into<String>) -> Problem {
    Problem { code: code.into(), title: title.into(), details: Some(details.into()), by: "host".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Outgoing {
        Outgoing::Text { body: "hi".into(), preview_url: false, quote: None }
    }

    fn refuse(advice: Advice) -> SendResponse {
        SendResponse::Refused(problem("131000", "Something went wrong", ""), advice)
    }

    #[test]
    fn transient_refusal_is_retried_a_limited_number_of_times() {
        let retry = Advice::Retry { attempts: 4 };
        for (attempts, pause_ms, blocks) in [(0, 1000, true), (1, 4000, true), (2, 16_000, false)] {
            let verdict = classify(refuse(retry), &text(), attempts);
            assert_eq!(verdict, SendVerdict::Retry { after_ms: pause_ms, counted: true, blocks });
        }
        assert!(matches!(classify(refuse(retry), &text(), 3), SendVerdict::Settle(SendOutcome::Dead(_))));
    }

    #[test]
    fn slow_recipient_waits_as_the_platform_advises() {
        for (attempts, pause_ms) in [(0, 1000), (1, 4000), (2, 16_000), (3, 64_000), (4, 256_000), (8, 256_000)] {
            let verdict = classify(refuse(Advice::SlowRecipient), &text(), attempts);
            assert_eq!(verdict, SendVerdict::Retry { after_ms: pause_ms, counted: true, blocks: true });
        }
    }

    #[test]
    fn typing_indicator_is_not_retried() {
        let typing = Outgoing::Typing { to: "wamid.x".into() };
        let verdict = classify(refuse(Advice::Retry { attempts: 4 }), &typing, 0);
        assert_eq!(verdict, SendVerdict::Settle(SendOutcome::Dropped));
    }

    #[test]
    fn failed_receipt_pauses_what_its_advice_names() {
        let reason = problem("131042", "There is a problem with the payment method", "");
        let stopped = || ChannelPause::Stopped(reason.clone());
        let short = || ChannelPause::Short(reason.clone());
        for (advice, expected) in [
            (Advice::Fail, ReceiptVerdict::Continue),
            (Advice::Retry { attempts: 3 }, ReceiptVerdict::Continue),
            (Advice::SlowRecipient, ReceiptVerdict::SlowRecipient { pause_ms: 4000 }),
            (Advice::StopOutreach, ReceiptVerdict::HoldOutreach(reason.clone())),
            (Advice::SlowChannel, ReceiptVerdict::Pause(short())),
            (Advice::StopChannel, ReceiptVerdict::Pause(stopped())),
            (Advice::SlowApp, ReceiptVerdict::PauseApp(short())),
            (Advice::StopApp, ReceiptVerdict::PauseApp(stopped())),
        ] {
            assert_eq!(classify_receipt(reason.clone(), advice), expected, "{advice:?}");
        }
    }

    #[test]
    fn final_refusal_settles_the_message() {
        let verdict = classify(refuse(Advice::Fail), &text(), 0);
        assert!(matches!(verdict, SendVerdict::Settle(SendOutcome::Failed(_))));
    }

    #[test]
    fn refusal_that_is_not_about_the_message_pauses_the_channel() {
        let classify = |response| classify(response, &text(), 0);
        assert!(matches!(classify(refuse(Advice::StopChannel)), SendVerdict::Pause(ChannelPause::Stopped(_))));
        assert!(matches!(classify(refuse(Advice::StopApp)), SendVerdict::PauseApp(ChannelPause::Stopped(_))));
        let not_sent = classify(SendResponse::NotSent("refused".into()));
        assert!(matches!(not_sent, SendVerdict::Pause(ChannelPause::Short(_))));
    }
}
