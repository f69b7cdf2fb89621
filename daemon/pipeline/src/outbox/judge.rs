//! What follows from the platform's answer: one pure function, a table in prose.
//!
//! It decides three things at once, because they belong together: what the row becomes on disk, whether the conversation
//! waits for it, and whether the whole channel does.

use crate::channel::{Advice, SendResponse};
use beadle_model::event::Problem;
use beadle_model::{Outgoing, Timestamp};
use beadle_store::step::SendOutcome;

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It is over: this is what became of it.
    Over(SendOutcome),
    /// Again at this time; the conversation's next message waits for it where `holds` says so.
    Again { at: Timestamp, counted: bool, holds: bool },
    /// The whole channel waits, and this one with it.
    Pause(Pause),
    /// All channels of the app wait, and this one with them.
    PauseApp(Pause),
    /// Nobody knows.
    Doubt(String),
}

/// Why a channel does not send for now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pause {
    /// Too fast, or no connection: a little, growing.
    Short(Problem),
    /// Until a person has done something.
    Stopped(Problem),
}

/// Pauses before the second, third, … try of one message that the platform could not take, in milliseconds: four tries in
/// about a minute and a half catch what is transient; whatever lasts longer is a person's business.
const RETRY_PAUSES_MS: [i64; 4] = [1000, 4000, 16_000, 64_000];
/// A message that will be tried again within this holds back those behind it in its conversation, so that answers keep
/// their order (DESIGN section 3: 10 s).
pub(crate) const HOLD_MS: i64 = 10_000;
/// The platform's own advice for one recipient: 4^n seconds (whatsapp.md 2.4, code 131056) …
const PAIR_BASE: i64 = 4;
/// … up to so many steps (4^4 s is over 4 minutes, the time in which a full burst has been repaid).
const PAIR_STEPS: u32 = 4;
/// Tries with a slow recipient before it is a person's business: over half an hour of waiting.
const PAIR_TRIES: u32 = 10;

/// What follows. `attempts`: tries before this one.
pub(crate) fn judge(answer: SendResponse, body: &Outgoing, attempts: u32, now: Timestamp) -> Verdict {
    match answer {
        SendResponse::Accepted(platform) | SendResponse::AcceptedWith(platform, _) => {
            Verdict::Over(SendOutcome::Accepted(platform))
        }
        SendResponse::Ambiguous(why) => Verdict::Doubt(why),
        SendResponse::NotSent(why) => {
            Verdict::Pause(Pause::Short(problem("platform-unreachable", "The platform could not be reached", why)))
        }
        SendResponse::Refused(problem, advice) => refused(problem, advice, body, attempts, now),
    }
}

fn refused(problem: Problem, advice: Advice, body: &Outgoing, attempts: u32, now: Timestamp) -> Verdict {
    // Marks and typing are not worth a second try: the moment is gone.
    let worth_it = body.is_retryable();
    match advice {
        Advice::Fail => Verdict::Over(SendOutcome::Failed(problem)),
        Advice::SlowChannel => Verdict::Pause(Pause::Short(problem)),
        Advice::StopChannel => Verdict::Pause(Pause::Stopped(problem)),
        Advice::SlowApp => Verdict::PauseApp(Pause::Short(problem)),
        Advice::StopApp => Verdict::PauseApp(Pause::Stopped(problem)),
        _ if !worth_it => Verdict::Over(SendOutcome::Dropped),
        Advice::Retry { attempts: most } if attempts + 1 >= most => Verdict::Over(SendOutcome::Dead(problem)),
        Advice::Retry { .. } => {
            let nth = usize::try_from(attempts).unwrap_or(usize::MAX);
            let pause_ms = RETRY_PAUSES_MS.get(nth).or(RETRY_PAUSES_MS.last()).copied().unwrap_or(HOLD_MS);
            // What stands in no line holds nobody back, and waits on disk.
            let holds = pause_ms < HOLD_MS && body.is_message();
            Verdict::Again { at: now.plus_ms(pause_ms), counted: true, holds }
        }
        Advice::SlowRecipient if attempts + 1 >= PAIR_TRIES => Verdict::Over(SendOutcome::Dead(problem)),
        Advice::SlowRecipient => {
            let pause_ms = PAIR_BASE.saturating_pow(attempts.min(PAIR_STEPS)).saturating_mul(1000);
            // Whatever is behind it is for the same recipient and would meet the same answer.
            Verdict::Again { at: now.plus_ms(pause_ms), counted: true, holds: body.is_message() }
        }
    }
}

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
    fn a_transient_no_is_tried_again_and_then_a_persons_business() {
        let now = Timestamp(0);
        let retry = Advice::Retry { attempts: 4 };
        for (attempts, pause_ms, holds) in [(0, 1000, true), (1, 4000, true), (2, 16_000, false)] {
            let verdict = judge(refuse(retry), &text(), attempts, now);
            assert_eq!(verdict, Verdict::Again { at: Timestamp(pause_ms), counted: true, holds });
        }
        assert!(matches!(judge(refuse(retry), &text(), 3, now), Verdict::Over(SendOutcome::Dead(_))));
    }

    #[test]
    fn a_slow_recipient_waits_as_the_platform_advises() {
        for (attempts, pause_ms) in [(0, 1000), (1, 4000), (2, 16_000), (3, 64_000), (4, 256_000), (8, 256_000)] {
            let verdict = judge(refuse(Advice::SlowRecipient), &text(), attempts, Timestamp(5));
            assert_eq!(verdict, Verdict::Again { at: Timestamp(5 + pause_ms), counted: true, holds: true });
        }
    }

    #[test]
    fn nothing_is_tried_again_for_a_moment_that_is_gone() {
        let typing = Outgoing::Typing { to: "wamid.x".into() };
        let verdict = judge(refuse(Advice::Retry { attempts: 4 }), &typing, 0, Timestamp(0));
        assert_eq!(verdict, Verdict::Over(SendOutcome::Dropped));
    }

    #[test]
    fn what_is_always_no_is_over_and_what_stops_a_channel_stops_it() {
        assert!(matches!(judge(refuse(Advice::Fail), &text(), 0, Timestamp(0)), Verdict::Over(SendOutcome::Failed(_))));
        let stopped = judge(refuse(Advice::StopChannel), &text(), 0, Timestamp(0));
        assert!(matches!(stopped, Verdict::Pause(Pause::Stopped(_))));
        let all = judge(refuse(Advice::StopApp), &text(), 0, Timestamp(0));
        assert!(matches!(all, Verdict::PauseApp(Pause::Stopped(_))));
        let unsent = judge(SendResponse::NotSent("refused".into()), &text(), 0, Timestamp(0));
        assert!(matches!(unsent, Verdict::Pause(Pause::Short(_))));
    }
}
