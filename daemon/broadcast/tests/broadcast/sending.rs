//! Sending: each person once, when they may be written to, and what pauses a broadcast.

use crate::env::*;
use beadle_broadcast::Settings;
use beadle_gate::StopSwitch;
use beadle_gate::costs::{Budget, Money, Period, RateList, Rates, WhenUsedUp};
use beadle_gatekeeper::{MarketingCaps, Policy, QuietHours, TimeOfDay};
use beadle_model::broadcast::BroadcastDefinition;
use beadle_model::effect::PriceKey;
use beadle_model::event::Problem;
use beadle_model::{BroadcastId, BroadcastState, Day, RecipientState, TemplateDefinition};
use beadle_pipeline::{Advice, SendResponse};
use proptest::prelude::*;

fn reason(env: &TestEnv, id: BroadcastId) -> String {
    env.row(id).reason.map(|reason| reason.code).unwrap_or_default()
}

#[tokio::test]
async fn each_person_gets_it_once_and_it_finishes() {
    let env = TestEnv::new().await;
    env.run();
    env.people(600).await;
    let id = env.send(news("news")).await;
    env.until_state(id, BroadcastState::Finished).await;
    assert_eq!(env.count(id, RecipientState::Sent), 600);
    let counts = env.channel.counts();
    assert_eq!((counts.len(), counts.values().copied().max()), (600, Some(1)));
    assert_eq!(code(env.broadcasts.resume(id, false).await), "broadcast-state");
}

#[tokio::test]
async fn who_withdraws_after_planning_gets_nothing() {
    let env = TestEnv::new().await;
    env.people(3).await;
    let id = env.send(news("news")).await;
    env.withdraw(2).await;
    env.run();
    env.until_state(id, BroadcastState::Finished).await;
    assert_eq!(env.state(id, 2), (RecipientState::Refused, Some("not-opted-in".into())));
    assert_eq!(env.channel.counts().keys().cloned().collect::<Vec<_>>(), [number(1), number(3)]);
}

#[tokio::test]
async fn quiet_hours_and_caps_hold_recipients_until_they_end() {
    let hour = |hour| TimeOfDay { hour, minute: 0 };
    let quiet_hours = Some(QuietHours { from: hour(20), to: hour(7) });
    let quiet = Policy { quiet_hours, timezone: "UTC".into(), ..Policy::default() };
    let capped = Policy { caps: MarketingCaps { per_day: Some(1), ..MarketingCaps::default() }, ..Policy::default() };
    for (policy, check, after_hours) in [(quiet, "quiet-hours", 8), (capped, "frequency-cap", 23)] {
        let env = TestEnv::new().await;
        env.run();
        env.people(2).await;
        let first = env.send(news("first")).await;
        env.until_state(first, BroadcastState::Finished).await;
        env.gatekeeper.configure(policy);
        let expires = Some(NOW.plus_ms(48 * HOUR_MS));
        let id = env.send(BroadcastDefinition { expires, ..news("second") }).await;
        env.until("both are held", || env.count(id, RecipientState::Held) == 2).await;
        assert_eq!(env.state(id, 1).1.as_deref(), Some(check));
        env.clock.advance_ms(after_hours * HOUR_MS);
        env.until("the broadcast has looked again", || env.clock.next_due().is_some()).await;
        assert_eq!(env.channel.counts().values().copied().max(), Some(1), "{check}: not before it ends");
        env.clock.advance_ms(4 * HOUR_MS);
        env.until_state(id, BroadcastState::Finished).await;
        assert_eq!(env.count(id, RecipientState::Sent), 2, "{check}");
        assert_eq!(env.channel.counts().values().copied().max(), Some(2), "{check}");
    }
}

#[tokio::test]
async fn expired_broadcast_excludes_the_rest() {
    let env = TestEnv::with(Settings::default(), 4).await;
    env.people(40).await;
    let expires = Some(NOW.plus_ms(4000));
    let id = env.send(BroadcastDefinition { expires, ..news("news") }).await;
    env.run();
    env.until_state(id, BroadcastState::Finished).await;
    let (sent, refused) = (env.count(id, RecipientState::Sent), env.count(id, RecipientState::Refused));
    assert!(sent > 0 && refused > 0 && sent + refused == 40, "{sent} {refused}");
    let rows = env.recipients(id);
    let mut excluded = rows.iter().filter(|row| row.state == RecipientState::Refused);
    assert!(excluded.all(|row| row.code.as_deref() == Some("broadcast-expired")), "{rows:?}");
    assert_eq!(env.channel.counts().len(), sent);
}

#[tokio::test]
async fn what_concerns_the_broadcast_pauses_it_or_makes_it_wait() {
    let key = PriceKey { country: "NL".into(), category: "marketing".into() };
    let lists = [(Day(0), RateList { source: "test".into(), rates: [(key, Money(100_000))].into() })].into();
    let rates = Rates { currency: "EUR".into(), free_service_messages: None, lists };
    let budget = Budget {
        name: "news".into(),
        plugin: None,
        channel: None,
        category: None,
        period: Period::Day,
        amount: Money(50_000),
        when_used_up: WhenUsedUp::Refuse,
    };
    let used_up = Policy { rates, budgets: vec![budget.clone()], ..Policy::default() };
    let deferred = Budget { when_used_up: WhenUsedUp::Defer, ..budget };
    let waiting = Policy { budgets: vec![deferred], ..used_up.clone() };
    let stopped = Policy { stop: StopSwitch::Marketing, ..Policy::default() };
    for (policy, paused, waits) in
        [(used_up, Some("over-budget"), None), (waiting, None, Some("budget")), (stopped, None, Some("stop-switch"))]
    {
        let env = TestEnv::new().await;
        env.people(3).await;
        let id = env.send(news("news")).await;
        env.gatekeeper.configure(policy);
        env.run();
        if let Some(expected) = paused {
            env.until_state(id, BroadcastState::Paused).await;
            assert_eq!(reason(&env, id), expected);
        }
        if let Some(expected) = waits {
            let mut wait = None;
            for _ in 0..500 {
                env.clock.advance_ms(20);
                wait = env.broadcasts.progress(id).await.unwrap().wait;
                if wait.is_some() {
                    break;
                }
                // tidy: the interval between two checks of a condition in another task
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            assert_eq!(wait.map(|(code, _)| code).as_deref(), Some(expected));
            assert_eq!(env.row(id).state, BroadcastState::Sending);
        }
        assert_eq!(env.count(id, RecipientState::Planned), 3, "nobody is excluded for it");
        assert!(env.channel.counts().is_empty());
        // Once it is over, it continues.
        env.gatekeeper.configure(Policy::default());
        if paused.is_some() {
            env.broadcasts.resume(id, false).await.unwrap();
        }
        env.until_state(id, BroadcastState::Finished).await;
        assert_eq!(env.channel.counts().len(), 3);
    }
}

#[tokio::test]
async fn template_that_changes_or_turns_red_pauses_it() {
    let red = TemplateDefinition { quality: Some("red".into()), ..template("en", "Hello {{1}}") };
    for (changed, expected) in [
        (template("en", "Hello {{1}}, again"), "broadcast-template-changed"),
        (red, "broadcast-quality"),
        (TemplateDefinition { status: "paused".into(), ..template("en", "Hello {{1}}") }, "template-paused"),
    ] {
        let env = TestEnv::new().await;
        env.people(2).await;
        let id = env.send(news("news")).await;
        env.set_templates(vec![changed]).await;
        env.run();
        env.until_state(id, BroadcastState::Paused).await;
        assert_eq!(reason(&env, id), expected);
        assert!(env.channel.counts().is_empty(), "{expected}");
    }
}

#[tokio::test]
async fn failures_pause_it_and_those_messages_are_sent_again() {
    let settings = Settings { min_messages: 10, max_failed_percent: 50, ..Settings::default() };
    let env = TestEnv::with(settings, 10).await;
    env.run();
    env.people(60).await;
    let problem = Problem { code: "131000".into(), title: "Failed".into(), details: None, by: "whatsapp".into() };
    *env.channel.response.lock() = Some(SendResponse::Refused(problem, Advice::Fail));
    let id = env.send(news("news")).await;
    env.until_state(id, BroadcastState::Paused).await;
    assert_eq!(reason(&env, id), "broadcast-failures");
    env.until("nothing is in the outbox", || env.count(id, RecipientState::Queued) == 0).await;
    let failed = env.count(id, RecipientState::Failed);
    assert!((10..60).contains(&failed), "{failed}");
    *env.channel.response.lock() = None;
    assert_eq!(env.broadcasts.resume(id, true).await.unwrap(), failed as u64);
    env.until_state(id, BroadcastState::Finished).await;
    assert_eq!(env.count(id, RecipientState::Sent), 60);
}

/// What happens while it is sent.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Advance(i64),
    Pause,
    Resume,
    Withdraw(i64),
    Stop,
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        6 => (0..800i64).prop_map(Meanwhile::Advance),
        2 => Just(Meanwhile::Pause),
        3 => Just(Meanwhile::Resume),
        2 => (1..=25i64).prop_map(Meanwhile::Withdraw),
        1 => Just(Meanwhile::Stop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever happens meanwhile: nobody gets it twice, nobody gets it after they withdrew their
    /// consent, and every message at the channel is a recipient's.
    #[test]
    fn nobody_gets_it_twice_or_after_a_withdrawal(steps in prop::collection::vec(meanwhile(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let env = TestEnv::with(Settings::default(), 20).await;
            env.run();
            env.people(25).await;
            let id = env.send(news("news")).await;
            let mut withdrew_before = Vec::new();
            for step in steps {
                let broadcasts = &env.broadcasts;
                match step {
                    Meanwhile::Advance(ms) => env.clock.advance_ms(ms),
                    Meanwhile::Pause => _ = broadcasts.pause(id).await,
                    Meanwhile::Resume => _ = broadcasts.resume(id, false).await,
                    Meanwhile::Withdraw(person) => {
                        env.withdraw(person).await;
                        if !env.channel.counts().contains_key(&number(person)) {
                            withdrew_before.push(number(person));
                        }
                    }
                    Meanwhile::Stop => _ = broadcasts.stop(id).await,
                }
                tokio::task::yield_now().await;
            }
            // Messages that were in flight end.
            env.until("nothing is in the outbox", || env.count(id, RecipientState::Queued) == 0).await;
            let counts = env.channel.counts();
            assert!(counts.values().all(|count| *count == 1), "{counts:?}");
            for row in env.recipients(id) {
                let got = counts.contains_key(&number(row.contact.0));
                assert_eq!(got, row.state == RecipientState::Sent, "{row:?}");
            }
            let ended = matches!(env.row(id).state, BroadcastState::Stopped | BroadcastState::Finished);
            if !ended {
                _ = env.broadcasts.resume(id, false).await;
                env.until_state(id, BroadcastState::Finished).await;
                assert!(env.channel.counts().values().all(|count| *count == 1));
            }
            let counts = env.channel.counts();
            assert!(withdrew_before.iter().all(|person| !counts.contains_key(person)), "{withdrew_before:?}");
        });
    }
}
