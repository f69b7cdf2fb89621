//! What capabilities provide and refuse.

use super::*;
use crate::Handled;
use beadle_model::effect::{SendEffect, StateRead, StateWrite, TimerWrite};
use beadle_model::{Disposition, Outgoing, Scope};

pub const STATE_DELETE: &str =
    r#"(import "beadle:plugin/state@0.1.0" "delete" (func $delete (param i32 i32 i32 i32 i32 i32)))"#;
pub const STATE: &str = r#"
    (import "beadle:plugin/state@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32 i32)))
    (import "beadle:plugin/state@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i32)))
    (import "beadle:plugin/state@0.1.0" "add" (func $add (param i32 i32 i32 i32 i32 i64 i32)))
    (import "beadle:plugin/state@0.1.0" "delete" (func $delete (param i32 i32 i32 i32 i32 i32)))
    (import "beadle:plugin/state@0.1.0" "scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
pub const REPLIES: &str = r#"
    (import "beadle:plugin/replies@0.1.0" "send-text" (func $send_text (param i32 i32 i32 i32 i32 i32 i32)))"#;

/// Replies to every text with the same text, and claims the event.
pub fn echo() -> Guest<'static> {
    Guest {
        capabilities: &["replies"],
        imports: REPLIES,
        // In `on-message.event` the text's pointer and length are at 224 and 228, after the
        // content's discriminant.
        handle: "(call $send_text (i32.load (i32.add (local.get $event) (i32.const 224)))
                (i32.load (i32.add (local.get $event) (i32.const 228)))
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
            (if (i32.load8_u (i32.const 64)) (then unreachable))
            (i32.store8 (i32.const 20) (i32.const 1))
            (i32.const 16)",
        ..Guest::default()
    }
}

async fn handled(guest: &Guest<'_>) -> Handled {
    run(guest).await.outcome.unwrap()
}

/// A guest that replies with results of host functions.
fn replying<'a>(imports: &'a str, items: &'a str, handle: &'a str, capabilities: &'a [&'a str]) -> Guest<'a> {
    Guest { capabilities, imports, items, handle, ..Guest::default() }
}

/// Replies with a text whose pointer and length are at the two addresses.
pub fn reply_with(pointer_at: i32, length_at: i32) -> String {
    format!(
        "(call $send_text (i32.load (i32.const {pointer_at})) (i32.load (i32.const {length_at}))
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 256))"
    )
}

/// Replies with the code of a refusal, which follows the discriminant, and ends.
pub fn reply_with_code() -> String {
    format!("{} (i32.const 16)", reply_with(ANSWER + 4, ANSWER + 8))
}

pub fn texts(handled: &Handled) -> Vec<String> {
    let text = |send: &SendEffect| match &send.body {
        Outgoing::Text { body, .. } => body.clone(),
        other => panic!("{other:?}"),
    };
    handled.effects.sends.iter().map(text).collect()
}

#[tokio::test]
async fn reply_goes_to_the_conversation_of_the_event() {
    let handled = handled(&echo()).await;
    assert_eq!(handled.disposition, Disposition::Claimed);
    let body = Outgoing::Text { body: "ping".into(), preview_url: false, quote: None };
    let [send] = &*handled.effects.sends else { panic!("{:?}", handled.effects.sends) };
    assert_eq!(
        (send.conversation, &send.body, send.message, send.reply),
        (ConversationId(9), &body, MessageId(1), true)
    );
    let checks: Vec<&str> = send.gate.steps.iter().map(|step| &*step.check).collect();
    assert_eq!((checks, send.gate.at, send.deferred), (vec!["window"], NOW, false));
    assert!(handled.has_no_reads());
}

#[tokio::test]
async fn refusal_of_the_gate_is_returned_to_the_plugin() {
    let imports = REPLIES;
    // Sends into a closed window, and claims if the host refuses.
    let handle = "(call $send_text (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 64))
        (i32.store8 (i32.const 20) (i32.load8_u (i32.const 64))) (i32.const 16)";
    let guest = Guest { capabilities: &["replies"], imports, handle, ..Guest::default() };
    let plugin = load(&sandbox(), &guest).await;
    let mut closed = conversation();
    closed.window_until = Some(NOW);
    let event = Event { conversation: Some(Arc::new(closed)), ..event(1) };
    let handled = plugin.handle(call_with(event)).await.outcome.unwrap();
    assert_eq!(handled.disposition, Disposition::Claimed);
    assert!(handled.effects.is_empty());
}

#[tokio::test]
async fn sending_on_another_channel_is_refused_with_the_setting_to_add() {
    // Sends. If the host refuses, claims and logs code, message and alternative.
    let imports = format!(r#"{REPLIES} (import "beadle:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32)))"#);
    let say =
        |at: i32| format!("(call $write (i32.const 1) (i32.load (i32.const {at})) (i32.load (i32.const {})))", at + 4);
    let handle = format!(
        "(call $send_text (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
         (if (i32.load8_u (i32.const 64)) (then {} {} {}))
         (i32.store8 (i32.const 20) (i32.load8_u (i32.const 64))) (i32.const 16)",
        say(68), say(76), say(88)
    );
    let guest = replying(&imports, "", &handle, &["replies", "log"]);
    let world = sandbox();
    for (channels, goes) in
        [(None, true), (Some(vec!["club", "shop"]), true), (Some(vec!["club"]), false), (Some(vec![]), false)]
    {
        let names = channels.as_ref().map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let plugin = world.load(Spec { channels: names, ..spec(guest.bytes()) }).await.unwrap();
        let report = plugin.handle(call(1)).await;
        let handled = report.outcome.unwrap();
        assert_eq!(
            (handled.effects.sends.len() == 1, handled.disposition == Disposition::Claimed),
            (goes, !goes),
            "{channels:?}"
        );
        if let Some(granted) = channels.filter(|_| !goes) {
            let logged: Vec<&str> = report.log.iter().map(|line| line.text.as_str()).collect();
            let list = [granted, vec!["shop"]].concat();
            assert_eq!(logged[0], "not-granted");
            assert_eq!(
                logged[1],
                format!(
                    "`guest` may not send on channel `shop`; `channels = {list:?}` in `[plugins.guest]` would allow it."
                )
            );
            assert!(logged[2].contains("ask the operator"));
        }
    }
}

#[tokio::test]
async fn settings_and_time_are_available() {
    let imports = format!(
        r#"{REPLIES} (import "beadle:plugin/settings@0.1.0" "get" (func $settings (param i32)))
           (import "beadle:plugin/clock@0.1.0" "now" (func $now (result i64)))"#
    );
    let handle = format!(
        "(call $settings (i32.const 64)) {}
         (if (i64.ne (call $now) (i64.const {})) (then unreachable)) (i32.const 16)",
        reply_with(ANSWER, ANSWER + 4),
        NOW.as_ms()
    );
    let handled = handled(&replying(&imports, "", &handle, &["replies", "settings", "clock"])).await;
    assert_eq!(texts(&handled), [r#"{"greeting":"hello"}"#]);
}

#[tokio::test]
async fn read_returns_what_the_call_wrote_before() {
    let imports = format!("{STATE} {REPLIES}");
    let key = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const 3)";
    let handle = format!(
        "(call $set {key} (i32.const 2052) (i32.const 2) (i32.const 0) (i64.const 0) (i32.const 64))
         (call $add {key} (i64.const -50) (i32.const 64))
         (call $get {key} (i32.const 64))
         ;; result, option, list
         {} (i32.const 16)",
        reply_with(ANSWER + 8, ANSWER + 12)
    );
    let items = r#"(data (i32.const 2048) "key ") (data (i32.const 2052) "42")"#;
    let handled = handled(&replying(&imports, items, &handle, &["replies", "state"])).await;
    assert_eq!(texts(&handled), ["-8"]);
    assert_eq!(handled.effects.reads, []);
    let (scope, key) = (Scope::Plugin, "key".to_owned());
    assert_eq!(
        handled.effects.state,
        [
            StateWrite::Set { scope, key: key.clone(), value: b"42".to_vec(), expires_at: None },
            StateWrite::Add { scope, key, delta: -50 }
        ]
    );
}

#[tokio::test]
async fn read_from_the_store_is_recorded_with_its_version() {
    let key = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const 3)";
    let handle = format!("(call $get {key} (i32.const 64)) (i32.const 16)");
    let items = r#"(data (i32.const 2048) "key")"#;
    let handled = handled(&replying(STATE, items, &handle, &["state"])).await;
    let read = StateRead::Key { scope: Scope::Plugin, key: "key".into(), version: None };
    assert_eq!(handled.effects.reads, [read]);
    assert!(!handled.has_no_reads());
}

#[tokio::test]
async fn limits_of_state_are_refusals() {
    let imports = format!("{STATE} {REPLIES}");
    let set = |key_len: u32, value_len: u32| {
        format!(
            "(drop (memory.grow (i32.const 8)))
             (call $set (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const {key_len})
                (i32.const 0) (i32.const {value_len}) (i32.const 0) (i64.const 0) (i32.const 64)) {}",
            reply_with_code()
        )
    };
    let counter = "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const 3)";
    let not_a_counter = format!(
        "(call $set {counter} (i32.const 2048) (i32.const 3) (i32.const 0) (i64.const 0) (i32.const 64))
         (call $add {counter} (i64.const 1) (i32.const 64)) {}",
        reply_with_code()
    );
    let bad_id = format!(
        "(call $delete (i32.const 1) (i32.const 2048) (i32.const 3) (i32.const 2048) (i32.const 3) (i32.const 64)) {}",
        reply_with_code()
    );
    let items = r#"(data (i32.const 2048) "key")"#;
    for (handle, code) in [
        (set(0, 1), "bad-key"),
        (set(257, 1), "bad-key"),
        (set(256, 262_145), "value-too-large"),
        (not_a_counter, "not-a-counter"),
        (bad_id, "bad-id"),
    ] {
        let handled = handled(&replying(&imports, items, &handle, &["replies", "state"])).await;
        assert_eq!(texts(&handled), [code]);
    }
}

#[tokio::test]
async fn quota_counts_writes_of_the_same_call() {
    let imports = format!("{STATE} {REPLIES}");
    // Five values of 256 KiB, of which four fit; then one of them again, which fits.
    let handle = format!(
        "(drop (memory.grow (i32.const 8)))
         (loop $on
            (call $set (i32.const 0) (i32.const 0) (i32.const 0) (i32.add (i32.const 2048) (global.get $n)) (i32.const 1)
                (i32.const 0) (i32.const 262000) (i32.const 0) (i64.const 0) (i32.const 64))
            (global.set $n (i32.add (global.get $n) (i32.const 1)))
            (br_if $on (i32.lt_u (global.get $n) (i32.const 5))))
         {}
         (call $set (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const 1)
            (i32.const 0) (i32.const 262000) (i32.const 0) (i64.const 0) (i32.const 64))
         (if (i32.load8_u (i32.const 64)) (then unreachable))
         (i32.const 16)",
        reply_with(ANSWER + 4, ANSWER + 8)
    );
    let items = r#"(global $n (mut i32) (i32.const 0)) (data (i32.const 2048) "abcdefgh")"#;
    let guest = replying(&imports, items, &handle, &["replies", "state"]);
    let limits = Limits { state_mib: 1, ..Limits::default() };
    let world = sandbox();
    let plugin = world.load(Spec { limits, ..spec(guest.bytes()) }).await.unwrap();
    let handled = plugin.handle(call(1)).await.outcome.unwrap();
    assert_eq!(texts(&handled), ["over-quota"]);
    assert_eq!(handled.effects.state.len(), 5);
}

#[tokio::test]
async fn timers_require_an_exported_handler() {
    let imports = format!(
        r#"{REPLIES} (import "beadle:plugin/timers@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32 i64 i32 i32 i32)))"#
    );
    let set = |payload: u32| {
        format!(
            "(call $set (i32.const 2) (i32.const 2052) (i32.const 5) (i32.const 2048) (i32.const 3)
                (i64.const 123) (i32.const 2048) (i32.const {payload}) (i32.const 64)) {}",
            reply_with_code()
        )
    };
    let items = r#"(data (i32.const 2048) "key cnv_9")"#;
    let unheard = handled(&replying(&imports, items, &set(3), &["replies", "timers"])).await;
    assert_eq!(texts(&unheard), ["no-timer-handler"]);

    let hears = format!(
        r#"{items} (func (export "beadle:plugin/on-timer@0.1.0#handle") (param i32) (result i32) (i32.const 16))"#
    );
    let world = "export beadle:plugin/on-timer@0.1.0;";
    let too_big = set(4097);
    let guest = Guest { world, ..replying(&imports, &hears, &too_big, &["replies", "timers"]) };
    assert_eq!(texts(&handled(&guest).await), ["value-too-large"]);

    let good = set(3).replace(&reply_with_code(), "(i32.const 16)");
    let guest = Guest { world, ..replying(&imports, &hears, &good, &["replies", "timers"]) };
    let scope = Scope::Conversation(ConversationId(9));
    let timer = TimerWrite::Set { scope, key: "key".into(), due_at: Timestamp(123), payload: b"key".to_vec() };
    assert_eq!(handled(&guest).await.effects.timers, [timer]);
}

#[tokio::test]
async fn timers_count_against_the_quota_of_state() {
    let imports = format!(
        r#"{REPLIES} (import "beadle:plugin/timers@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32 i64 i32 i32 i32)))"#
    );
    // Timers with the largest payload and keys of two letters, until one is refused.
    let handle = format!(
        "(loop $on
            (i32.store8 (i32.const 2048) (i32.add (i32.const 97) (i32.div_u (global.get $n) (i32.const 20))))
            (i32.store8 (i32.const 2049) (i32.add (i32.const 97) (i32.rem_u (global.get $n) (i32.const 20))))
            (call $set (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const 2)
                (i64.const 123) (i32.const 2048) (i32.const 4096) (i32.const 64))
            (global.set $n (i32.add (global.get $n) (i32.const 1)))
            (br_if $on (i32.and (i32.eqz (i32.load8_u (i32.const 64))) (i32.lt_u (global.get $n) (i32.const 350)))))
         {}",
        reply_with_code()
    );
    let items = r#"(global $n (mut i32) (i32.const 0))
        (func (export "beadle:plugin/on-timer@0.1.0#handle") (param i32) (result i32) (i32.const 16))"#;
    let guest = replying(&imports, items, &handle, &["replies", "timers"]);
    let guest = Guest { world: "export beadle:plugin/on-timer@0.1.0;", ..guest };
    let limits = Limits { state_mib: 1, effects: 400, ..Limits::default() };
    let world = sandbox();
    let plugin = world.load(Spec { limits, ..spec(guest.bytes()) }).await.unwrap();
    let handled = plugin.handle(call(1)).await.outcome.unwrap();
    assert_eq!(texts(&handled), ["over-quota"]);
    assert_eq!(handled.effects.timers.len(), (1 << 20) / (2 + 4096 + 64));
}

#[tokio::test]
async fn random_numbers_depend_on_the_event() {
    let imports = format!(r#"{REPLIES} (import "beadle:plugin/random@0.1.0" "bytes" (func $bytes (param i32 i32)))"#);
    // Eight random letters. A request for 5000 bytes returns 4096.
    let letter = |at: i32| {
        format!(
            "(i32.store8 (i32.add (i32.load (i32.const 64)) (i32.const {at}))
                (i32.add (i32.const 97) (i32.rem_u (i32.load8_u (i32.add (i32.load (i32.const 64)) (i32.const {at})))
                    (i32.const 26))))"
        )
    };
    let handle = format!(
        "(call $bytes (i32.const 5000) (i32.const 64))
         (if (i32.ne (i32.load (i32.const 68)) (i32.const 4096)) (then unreachable))
         (i32.store (i32.const 68) (i32.const 8)) {} {} (i32.const 16)",
        (0..8).map(letter).collect::<String>(),
        reply_with(ANSWER, ANSWER + 4)
    );
    let guest = replying(&imports, "", &handle, &["replies", "random"]);
    let sandbox = sandbox();
    let plugin = load(&sandbox, &guest).await;
    let mut drawn = vec![];
    for (event, attempt) in [(1, 1), (1, 2), (2, 1)] {
        let handled = plugin.handle(Call { attempt, ..call(event) }).await.outcome.unwrap();
        drawn.push(texts(&handled).join(""));
        handled.instance.keep();
    }
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[0], drawn[2]);
}

#[tokio::test]
async fn capabilities_refuse_while_the_plugin_is_loaded() {
    let guest = Guest {
        capabilities: &["state"],
        world: "export beadle:plugin/about@0.1.0;",
        imports: STATE_DELETE,
        // Its version is the code of the refusal.
        items: r#"(data (i32.const 2048) "key")
            (func (export "beadle:plugin/about@0.1.0#describe") (result i32)
                (call $delete (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const 3) (i32.const 64))
                (i32.store (i32.const 128) (i32.load (i32.const 68)))
                (i32.store (i32.const 132) (i32.load (i32.const 72)))
                (i32.const 128))"#,
        ..Guest::default()
    };
    let plugin = load(&sandbox(), &guest).await;
    assert_eq!(plugin.about().unwrap().version, "host-call-at-start");
}
