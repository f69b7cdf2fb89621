//! One message through all steps.

use crate::env::*;
use beadle_model::{EventBody, PluginNo};
use beadle_store::step::*;

#[tokio::test]
async fn log_is_checkpointed_and_restarted() {
    let env = TestEnv::with(|config| config.log_pages = 100);
    let (mut appended, mut pages, mut restarts) = (0, 0, 0);
    // Only a log that restarted has fewer pages than before.
    while restarts < 3 {
        env.append(vec![from("31600000001", &format!("{appended}"))]).await;
        appended += 1;
        assert!(appended < 20_000, "the log only grows: {:?}", env.store.health());
        let now = env.store.health().wal_pages;
        restarts += usize::from(now < pages);
        pages = now;
    }
    // Either of a checkpoint's two passes may copy the log to its end, so two can restart it three
    // times.
    assert!(env.store.health().checkpoints >= 2);
    assert_eq!(env.crashed().events().len(), 1000.min(appended + 1));
}

#[tokio::test]
async fn message_passes_all_steps() {
    let env = TestEnv::new();
    let mut feed = env.store.feed().unwrap();
    assert!(env.store.feed().is_none(), "there is one feed");
    let appended = env.append(vec![from("31600000001", "wamid.A")]).await;
    assert_eq!((appended.events, appended.duplicates), (2, 0));
    assert_eq!(env.append(vec![from("31600000001", "wamid.A")]).await.duplicates, 1);

    let fed = feed.next(10).await;
    assert_eq!(ids(&fed), [1, 2]);
    let (joined, message) = (&fed[0].event, &fed[1].event);
    assert_eq!(joined.body, EventBody::MemberJoined { reason: "first-message".into(), again: false });
    let view = message.conversation.as_ref().unwrap();
    assert_eq!((view.window_until, view.contact.member_since), (Some(NOW.plus_ms(DAY)), Some(NOW)));
    assert_eq!(view.address, Some(wa("31600000001")));
    assert_eq!(env.reader.event(message.id).unwrap().as_ref(), Some(&**message));
    assert_eq!(env.reader.conversation(view.id).unwrap().as_ref(), Some(&**view));

    let plugin = env.store.plugin_no("echo").await.unwrap();
    let reply = env.send(message, plugin, SendState::Sending).await;
    assert_eq!(env.reader.outbox_sending().unwrap().len(), 1);
    env.settle(reply, SendOutcome::Accepted(Some("wamid.R".into()))).await;
    assert_eq!(env.state_of(reply), SendState::Accepted);
    assert!(env.reader.outbox_sending().unwrap().is_empty());
    env.receipt(reply, "delivered").await;

    let quoting = env.append_one(quoting("31600000001", "wamid.B", "wamid.R")).await;
    let EventBody::Message { context: Some(context), addressed, .. } = quoting.body else { panic!("{quoting:?}") };
    assert_eq!((context.quoted_message, addressed), (Some(reply), Some(plugin)));

    env.store.finish(progress(joined.id, 0, 0), env.store.fence()).await.unwrap();
    assert_eq!(env.store.finished_below(quoting.id).await.unwrap(), quoting.id);
    let health = env.store.health();
    assert!(health.writable && health.commits > 5 && health.last_commit_ms == NOW.0, "{health:?}");
    assert_ne!(plugin, PluginNo::HOST);
}
