//! What a plugin reads from the store, with its own writes applied.

use super::capabilities::{REPLIES, STATE, reply_with, reply_with_code, texts};
use super::*;
use beadle_model::Scope;
use beadle_model::effect::StateRead;

fn set(key: &str, value: &[u8]) -> StateWrite {
    StateWrite::Set { scope: Scope::Plugin, key: key.into(), value: value.to_vec(), expires_at: None }
}

/// A key of the plugin's scope in WAT: address and length.
fn at(address: u32, length: u32) -> String {
    format!("(i32.const 0) (i32.const 0) (i32.const 0) (i32.const {address}) (i32.const {length})")
}

fn guest<'a>(imports: &'a str, items: &'a str, handle: &'a str) -> Guest<'a> {
    Guest { capabilities: &["state", "replies", "messages", "contacts"], imports, items, handle, ..Guest::default() }
}

#[tokio::test]
async fn stored_value_is_read_with_its_version() {
    let world = sandbox();
    world.stored(vec![set("name", b"Beadle")]).await;
    let version = world.store.reader().state_get(StateNo(1), Scope::Plugin, "name", NOW).unwrap().unwrap().1;
    let handle =
        format!("(call $get {} (i32.const 64)) {} (i32.const 16)", at(2048, 4), reply_with(ANSWER + 8, ANSWER + 12));
    let imports = format!("{STATE} {REPLIES}");
    let plugin = load(&world, &guest(&imports, r#"(data (i32.const 2048) "name")"#, &handle)).await;
    let handled = plugin.handle(call(2)).await.outcome.unwrap();
    assert_eq!(texts(&handled), ["Beadle"]);
    let read = StateRead::Key { scope: Scope::Plugin, key: "name".into(), version: Some(version) };
    assert_eq!(handled.effects.reads, [read]);
}

#[tokio::test]
async fn add_to_a_stored_value_requires_a_counter() {
    let world = sandbox();
    world.stored(vec![set("text", b"twelve"), set("number", b"12")]).await;
    let add = |address: u32, length: u32| format!("(call $add {} (i64.const 30) (i32.const 64))", at(address, length));
    let items = r#"(data (i32.const 2048) "textnumber")"#;
    let imports = format!("{STATE} {REPLIES}");
    let wrong = format!("{} {}", add(2048, 4), reply_with_code());
    let plugin = load(&world, &guest(&imports, items, &wrong)).await;
    assert_eq!(texts(&plugin.handle(call(2)).await.outcome.unwrap()), ["not-a-counter"]);

    let right = format!(
        "{} (call $get {} (i32.const 64)) {} (i32.const 16)",
        add(2052, 6),
        at(2052, 6),
        reply_with(ANSWER + 8, ANSWER + 12)
    );
    let plugin = load(&world, &guest(&imports, items, &right)).await;
    let handled = plugin.handle(call(2)).await.outcome.unwrap();
    assert_eq!(texts(&handled), ["42"]);
    assert_eq!(handled.effects.reads.len(), 1, "`get` is recorded as a read, `add` is not");
}

/// Scans for at most three keys that start with `k`, and replies with each.
fn listing(before: &str) -> String {
    let each = |at: i32| {
        // An entry is key and value, eight bytes each. Entries that do not exist are skipped.
        format!(
            "(if (i32.gt_u (i32.load (i32.const 72)) (i32.const {at})) (then
                (call $send_text (i32.load (i32.add (i32.load (i32.const 68)) (i32.const {})))
                    (i32.load (i32.add (i32.load (i32.const 68)) (i32.const {})))
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 256))))",
            at * 16,
            at * 16 + 4
        )
    };
    format!(
        "{before} (call $scan {} (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 64))
         (if (i32.load8_u (i32.const 64)) (then unreachable))
         {} {} {} {} (i32.const 16)",
        at(2048, 1),
        each(0),
        each(1),
        each(2),
        each(3)
    )
}

#[tokio::test]
async fn scan_applies_the_writes_of_the_call() {
    let world = sandbox();
    world.stored((1..=6).map(|n| set(&format!("k{n}"), b"x")).chain([set("z", b"x")]).collect()).await;
    let items = r#"(data (i32.const 2048) "k2") (data (i32.const 2052) "k0") (data (i32.const 2056) "k5")
        (data (i32.const 2060) "z9")"#;
    let imports = format!("{STATE} {REPLIES}");
    let delete = |address: u32| format!("(call $delete {} (i32.const 64))", at(address, 2));
    let put = |address: u32| {
        format!(
            "(call $set {} (i32.const 2048) (i32.const 1) (i32.const 0) (i64.const 0) (i32.const 64))",
            at(address, 2)
        )
    };
    for (before, expected, until) in [
        (String::new(), ["k1", "k2", "k3"], "k3"),
        (delete(2048), ["k1", "k3", "k4"], "k4"),
        (put(2052), ["k0", "k1", "k2"], "k3"),
        (format!("{} {}", put(2056), put(2060)), ["k1", "k2", "k3"], "k3"),
    ] {
        let handle = listing(&before);
        let plugin = load(&world, &guest(&imports, items, &handle)).await;
        let handled = plugin.handle(call(2)).await.outcome.unwrap();
        assert_eq!(texts(&handled), expected);
        let [StateRead::Scan { until: seen_until, .. }] = &handled.effects.reads[..] else { panic!("one scan") };
        assert_eq!(seen_until.as_deref(), Some(until));
    }
}

#[tokio::test]
async fn scan_to_the_end_is_recorded_without_bound() {
    let world = sandbox();
    world.stored(vec![set("k1", b"x"), set("z", b"x")]).await;
    let imports = format!("{STATE} {REPLIES}");
    let handle = listing("");
    let plugin = load(&world, &guest(&imports, r#"(data (i32.const 2048) "k")"#, &handle)).await;
    let handled = plugin.handle(call(2)).await.outcome.unwrap();
    assert_eq!(texts(&handled), ["k1"]);
    let [StateRead::Scan { until, seen, .. }] = &handled.effects.reads[..] else { panic!("one scan") };
    assert_eq!((until, seen.len()), (&None, 1));
}

#[tokio::test]
async fn quota_counts_stored_values_but_not_replaced_ones() {
    let world = sandbox();
    let large = vec![b'x'; 262_000];
    world.stored((0..4).map(|n| set(&format!("{n}"), &large)).collect()).await;
    let put = |address: u32| {
        format!(
            "(call $set {} (i32.const 4096) (i32.const 2000) (i32.const 0) (i64.const 0) (i32.const 64))",
            at(address, 1)
        )
    };
    let handle = format!(
        "{} {} {} (if (i32.load8_u (i32.const 64)) (then unreachable)) (i32.const 16)",
        put(2049),
        reply_with(ANSWER + 4, ANSWER + 8),
        put(2048)
    );
    let imports = format!("{STATE} {REPLIES}");
    let spec = spec(guest(&imports, r#"(data (i32.const 2048) "0n")"#, &handle).bytes());
    let limits = Limits { state_mib: 1, ..Limits::default() };
    let plugin = world.load(Spec { limits, ..spec }).await.unwrap();
    let handled = plugin.handle(call(2)).await.outcome.unwrap();
    assert_eq!(texts(&handled), ["over-quota"], "a new key does not fit, a smaller value of an existing key does");
    assert_eq!(handled.effects.state.len(), 1);
}

const MESSAGES: &str = r#"(import "beadle:plugin/messages@0.1.0" "send-text"
    (func $write (param i32 i32)))"#;

#[tokio::test]
async fn message_goes_to_a_known_contact() {
    let world = sandbox();
    world.arrived("31600000001").await;
    let imports = format!("{MESSAGES} {REPLIES}");
    let items = r#"(data (i32.const 2048) "con_1con_9shopbar ")"#;
    // The arguments are in memory at 3000: the contact, the channel, no purpose, no key; then the
    // text, whose body is at 3044.
    let write = |contact: u32, channel: [u32; 3]| {
        let words = [(0, contact), (4, 5), (8, channel[0]), (12, channel[1]), (16, channel[2]), (44, 2048), (48, 5)];
        let store = |(at, word): (u32, u32)| format!("(i32.store (i32.const {}) (i32.const {word}))", 3000 + at);
        let stores: String = words.into_iter().map(store).collect();
        format!("{stores} (call $write (i32.const 3000) (i32.const 64))")
    };
    let (any, shop, bar) = ([0, 0, 0], [1, 2058, 4], [1, 2062, 3]);
    for (call_it, code) in [(write(2053, any), "unknown-contact"), (write(2048, bar), "no-conversation")] {
        let handle = format!("{call_it} {}", reply_with_code());
        let plugin = load(&world, &guest(&imports, items, &handle)).await;
        assert_eq!(texts(&plugin.handle(call(2)).await.outcome.unwrap()), [code]);
    }
    for channel in [any, shop] {
        let handle =
            format!("{} (if (i32.load8_u (i32.const 64)) (then unreachable)) (i32.const 16)", write(2048, channel));
        let plugin = load(&world, &guest(&imports, items, &handle)).await;
        let handled = plugin.handle(call(2)).await.outcome.unwrap();
        assert_eq!(texts(&handled), ["con_1"]);
        assert!(!handled.effects.sends[0].reply);
    }
}

#[tokio::test]
async fn contacts_are_looked_up_and_paged() {
    let world = sandbox();
    world.arrived("31600000001").await;
    world.arrived("31600000002").await;
    let imports = format!(
        r#"{REPLIES}
        (import "beadle:plugin/contacts@0.1.0" "get" (func $get (param i32 i32 i32)))
        (import "beadle:plugin/contacts@0.1.0" "page" (func $page (param i32 i32 i32 i32 i32)))"#
    );
    let items = r#"(data (i32.const 2048) "con_2con_9")"#;
    // Result, option, contact (id, name). A page is the contacts and the start of the next page.
    let handle = format!(
        "(call $get (i32.const 2048) (i32.const 5) (i32.const 64)) {}
         (call $get (i32.const 2053) (i32.const 5) (i32.const 64))
         (if (i32.load8_u (i32.const 68)) (then unreachable))
         (call $page (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64)) {}
         (call $page (i32.const 1) (i32.load (i32.const 80)) (i32.load (i32.const 84)) (i32.const 9) (i32.const 64))
         (if (i32.ne (i32.load (i32.const 72)) (i32.const 1)) (then unreachable))
         (if (i32.load (i32.const 76)) (then unreachable)) (i32.const 16)",
        reply_with(ANSWER + 8, ANSWER + 12),
        reply_with(ANSWER + 16, ANSWER + 20),
    );
    let plugin = load(&world, &guest(&imports, items, &handle)).await;
    let handled = plugin.handle(call(2)).await.outcome.unwrap();
    assert_eq!(texts(&handled), ["con_2", "con_1"]);
    assert!(handled.has_no_reads());
}

#[tokio::test]
async fn numbers_are_given_by_contacts_identity_only() {
    let world = sandbox();
    world.arrived("31612345678").await;
    let imports = format!(
        r#"{REPLIES}
        (import "beadle:plugin/contacts-identity@0.1.0" "get" (func $get (param i32 i32 i32)))
        (import "beadle:plugin/contacts-identity@0.1.0" "find" (func $find (param i32 i32 i32)))"#
    );
    let items = r#"(data (i32.const 2048) "con_1+31 6 1234 5678nobody")"#;
    // Result, list (kind, value, since); the contact that was found; a refusal's code.
    let handle = format!(
        "(call $get (i32.const 2048) (i32.const 5) (i32.const 64))
         (if (i32.load8_u (i32.const 64)) (then unreachable))
         (i32.store (i32.const 96) (i32.load (i32.add (i32.load (i32.const 68)) (i32.const 8))))
         (i32.store (i32.const 100) (i32.load (i32.add (i32.load (i32.const 68)) (i32.const 12)))) {}
         (call $find (i32.const 2053) (i32.const 15) (i32.const 64)) {}
         (call $find (i32.const 2068) (i32.const 6) (i32.const 64)) {}",
        reply_with(96, 100),
        reply_with(ANSWER + 8, ANSWER + 12),
        reply_with_code()
    );
    let capabilities = &["replies", "contacts-identity"];
    let guest = Guest { capabilities, imports: &imports, items, handle: &handle, ..Guest::default() };
    let plugin = load(&world, &guest).await;
    assert!(plugin.requested_capabilities().contains("contacts-identity"));
    let handled = plugin.handle(call(2)).await.outcome.unwrap();
    assert_eq!(texts(&handled), ["31612345678", "con_1", "bad-phone"]);
}
