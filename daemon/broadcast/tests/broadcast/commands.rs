//! Commands: which ones a state allows, approval, definitions that are refused, and tests.

use crate::env::*;
use beadle_broadcast::Settings;
use beadle_gatekeeper::{Policy, QuietHours, TimeOfDay};
use beadle_model::broadcast::{BroadcastCommand, BroadcastDefinition, FollowUp, FollowUpRecipients, Texts};
use beadle_model::profile::ProfileEdit;
use beadle_model::{Audience, BroadcastId, BroadcastState, ContactId, Purpose, Role};
use beadle_store::ContactEdit;
use proptest::prelude::*;

#[tokio::test]
async fn definition_is_checked_when_it_is_created() {
    let env = TestEnv::new().await;
    type Change = fn(&mut BroadcastDefinition);
    let cases: [(Change, &str); 9] = [
        (|news| news.channel = "club".into(), "unknown channel `club`"),
        (|news| news.name = "bro_1".into(), "must not be an id"),
        (|news| news.audience = Audience::Contacts(Vec::new()), "1 to 200000 contacts"),
        (|news| news.audience = Audience::Contacts(vec![ContactId(1); 200_001]), "1 to 200000 contacts"),
        (|news| news.audience = Audience::Tag(" ".into()), "must not be empty"),
        (|news| news.expires = Some(NOW), "must be in the future"),
        (|news| news.template = None, "`template` or `text` must be set"),
        (|news| news.text = Some(Texts::One("Hi {name}".into())), "must have a fallback"),
        (|news| news.text = Some(Texts::One("x".repeat(5000))), ""),
    ];
    for (change, expected) in cases {
        let mut definition = news("news");
        change(&mut definition);
        let error = env.create(definition).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
    let follow_up = FollowUp { of: "missing".into(), recipients: FollowUpRecipients::Failed, after_hours: 0 };
    let definition = BroadcastDefinition { audience: Audience::Broadcast(follow_up), ..news("again") };
    assert_eq!(code(env.create(definition).await), "broadcast-unknown");
    // The only channel is the default, and a name is used once.
    let id = env.create(news("news")).await.unwrap();
    assert_eq!(env.row(id).channel, "shop");
    assert_eq!(code(env.create(news("news")).await), "broadcast-exists");
    assert_eq!(code(env.broadcasts.find("nowhere").await), "broadcast-unknown");
    assert_eq!(code(env.broadcasts.start(BroadcastId(99)).await), "broadcast-unknown");
}

#[tokio::test]
async fn second_person_approves_the_plan_that_they_saw() {
    let settings = Settings { approval_above: 2, ..Settings::default() };
    let env = TestEnv::with(settings.clone(), 1000).await;
    env.people(2).await;
    let id = env.create(news("news")).await.unwrap();
    assert_eq!(code(env.broadcasts.approve(id, "Bram").await), "broadcast-state", "it is not planned");
    env.broadcasts.plan(id).await.unwrap();
    env.person(3, &[Purpose::Service, topic("news")], ContactEdit::default()).await;
    env.broadcasts.plan(id).await.unwrap();
    assert_eq!(code(env.broadcasts.start(id).await), "broadcast-approval", "three are more than two");
    for same in ["Ana", "ana", " ANA "] {
        assert_eq!(code(env.broadcasts.approve(id, same).await), "broadcast-same-person", "{same}");
    }
    env.broadcasts.approve(id, "Bram").await.unwrap();
    env.broadcasts.plan(id).await.unwrap();
    assert_eq!(code(env.broadcasts.start(id).await), "broadcast-approval", "planning again withdraws it");
    env.broadcasts.configure(Settings { approval_above: 0, ..settings });
    env.broadcasts.start(id).await.unwrap();
    assert_eq!(code(env.broadcasts.approve(id, "Bram").await), "broadcast-state");
}

#[tokio::test]
async fn start_needs_recipients_and_time() {
    let env = TestEnv::new().await;
    let id = env.create(news("empty")).await.unwrap();
    env.broadcasts.plan(id).await.unwrap();
    assert_eq!(code(env.broadcasts.start(id).await), "broadcast-empty");
    env.people(1).await;
    let definition = BroadcastDefinition { expires: Some(NOW.plus_ms(HOUR_MS)), ..news("late") };
    let id = env.create(definition).await.unwrap();
    env.broadcasts.plan(id).await.unwrap();
    env.clock.advance_ms(HOUR_MS);
    assert_eq!(code(env.broadcasts.start(id).await), "broadcast-expired");
    assert_eq!(code(env.broadcasts.plan(id).await), "broadcast-expired");
    assert_eq!(code(env.broadcasts.stop(id).await), "ok");
}

#[tokio::test]
async fn test_is_asked_of_the_gate_and_counts_for_nobody() {
    let env = TestEnv::new().await;
    env.people(2).await;
    env.person(3, &[Purpose::Service], ContactEdit::default()).await;
    let banned = ProfileEdit { role: Some(Role::Banned), ..ProfileEdit::default() };
    let banned = ContactEdit { profile: banned, ..ContactEdit::default() };
    env.person(4, &[Purpose::Service, topic("news")], banned).await;
    let id = env.create(news("news")).await.unwrap();
    let test = async |people: &[i64]| {
        let people = people.iter().copied().map(ContactId).collect();
        code(env.broadcasts.test(id, people).await)
    };
    for (people, expected) in [
        (&[][..], "broadcast-invalid"),
        (&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], "broadcast-invalid"),
        (&[3], "not-opted-in"),
        (&[1, 4], "banned"),
        (&[1, 99], "no-recipient"),
    ] {
        assert_eq!(test(people).await, expected, "{people:?}");
    }
    assert!(env.channel.counts().is_empty(), "one that is refused holds back the others");
    let hour = |hour| TimeOfDay { hour, minute: 0 };
    let quiet_hours = Some(QuietHours { from: hour(20), to: hour(7) });
    env.gatekeeper.configure(Policy { quiet_hours, ..Policy::default() });
    assert_eq!(test(&[1]).await, "quiet-hours");
    env.gatekeeper.configure(Policy::default());
    assert_eq!(test(&[1, 2]).await, "ok");
    env.until("both have it", || env.channel.counts().len() == 2).await;
    assert!(env.recipients(id).is_empty());
    assert_eq!(env.row(id).state, BroadcastState::Draft);
}

/// What somebody does to a broadcast.
#[derive(Clone, Copy, Debug)]
enum Act {
    Plan,
    Command(BroadcastCommand),
    ResumeFailed,
}

fn act() -> impl Strategy<Value = Act> {
    use BroadcastCommand::{Pause, Resume, Start, Stop};
    prop_oneof![
        Just(Act::Plan),
        Just(Act::Command(Start)),
        Just(Act::Command(Pause)),
        Just(Act::Command(Resume)),
        Just(Act::ResumeFailed),
        Just(Act::Command(Stop)),
    ]
}

/// The state after an act by the rules; `None` if it is refused.
fn expected(state: BroadcastState, act: Act) -> Option<BroadcastState> {
    use BroadcastState::{Draft, Finished, Paused, Planned};
    match (act, state) {
        (Act::Plan, Draft | Planned) => Some(Planned),
        (Act::Plan, Paused) => Some(Paused),
        (Act::Plan, _) => None,
        (Act::Command(BroadcastCommand::Resume), Finished) => None,
        (Act::Command(command), state) => state.after(command),
        (Act::ResumeFailed, state) => state.after(BroadcastCommand::Resume),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// In every order, a command does what its state allows or is refused without an effect; and
    /// while nothing runs that sends, no message leaves.
    #[test]
    fn commands_in_every_order_follow_the_states(acts in prop::collection::vec(act(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let env = TestEnv::new().await;
            env.people(1).await;
            let id = env.create(news("news")).await.unwrap();
            for act in acts {
                let before = env.row(id).state;
                let broadcasts = &env.broadcasts;
                let done = match act {
                    Act::Plan => code(broadcasts.plan(id).await),
                    Act::Command(BroadcastCommand::Start) => code(broadcasts.start(id).await),
                    Act::Command(BroadcastCommand::Pause) => code(broadcasts.pause(id).await),
                    Act::Command(BroadcastCommand::Resume) => code(broadcasts.resume(id, false).await),
                    Act::ResumeFailed => code(broadcasts.resume(id, true).await),
                    Act::Command(BroadcastCommand::Stop) => code(broadcasts.stop(id).await),
                };
                let expected = expected(before, act);
                assert_eq!(env.row(id).state, expected.unwrap_or(before), "{act:?} in {before:?}: {done}");
                assert_eq!(done, if expected.is_some() { "ok" } else { "broadcast-state" }, "{act:?} in {before:?}");
            }
            assert!(env.channel.counts().is_empty());
        });
    }
}
