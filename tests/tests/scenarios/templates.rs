//! Templates: known from the platform, kept current by webhooks, checked before anything is queued;
//! and what the gate does with them.

use crate::UNPACED;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::{wait_until, webhook};
use serde_json::{Value, json};

const HOUR_MS: i64 = 3_600_000;
/// 2026-03-27T12:00:00Z, a Friday.
const FRIDAY_NOON: i64 = 1_774_612_800_000;

struct World {
    setup: Setup,
    simulator: Simulator,
    daemon: Daemon,
}

fn body(text: &str) -> Value {
    let count = text.matches("{{").count();
    let example: Vec<String> = (0..count).map(|n| format!("x{n}")).collect();
    if count == 0 {
        json!({"type": "BODY", "text": text})
    } else {
        json!({"type": "BODY", "text": text, "example": {"body_text": [example]}})
    }
}

impl World {
    /// Starts with approved templates, which the daemon has fetched.
    async fn new(templates: &[(&str, &str, &str, Value)], toml: &str) -> Self {
        let address = SimulatorAddress::reserve();
        let setup = Setup::new(&address.url())
            .plugin("messenger", "grant = [\"messages\"]")
            .toml(UNPACED)
            .toml("[contacts]\nlanguage_from_number = true\n[keywords]\nlanguage = \"en\"")
            .toml(toml)
            .clock(&address.clock_url());
        let simulator = address.start_virtual(&setup).await;
        simulator.control("POST", "clock", &json!({ "set_ms": FRIDAY_NOON })).await;
        simulator.set_faults(json!({ "template_review_ms": 0 })).await;
        // It takes the webhooks of the reviews.
        let daemon = setup.start().await;
        for (name, language, category, components) in templates {
            let template = json!({"name": name, "language": language, "category": category, "components": components});
            simulator.graph("POST", &format!("{}/message_templates", webhook::BUSINESS_ID), &template).await;
        }
        simulator.advance(1000).await;
        let world = Self { setup, simulator, daemon };
        world.sync().await;
        world
    }

    async fn sync(&self) {
        let answer = self.daemon.post("templates/sync").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Writes as a person, and waits for everything that follows.
    async fn say(&self, person: &str, text: &str) {
        self.simulator.say(person, text).await;
        self.simulator.advance(0).await;
        self.daemon.wait_until_idle().await;
    }

    /// Records that the first person who wrote agreed to marketing.
    async fn agree(&self, purpose: &str) {
        let words = ["consents", "record", "con_1", purpose, "--source", "operator", "--confirmed"];
        let output = self.setup.cli(&words).await;
        assert!(output.status.success(), "{output:?}");
    }

    async fn last_text(&self, person: &str) -> String {
        self.simulator.texts(person).await.pop().unwrap_or_default()
    }

    /// The names of the templates that a person received.
    async fn received(&self, person: &str) -> Vec<String> {
        let messages = self.simulator.messages(Some(person)).await;
        messages.iter().filter_map(|message| Some(message.pointer("/body/name")?.as_str()?.to_owned())).collect()
    }

    async fn change(&self, change: Value) {
        self.simulator.control("POST", "templates", &change).await;
        // A deletion that is pending waits for its day.
        self.simulator.wait_until_idle().await;
    }

    async fn status_of(&self, name: &str) -> String {
        let view = self.daemon.get(&format!("templates/named/{name}")).await;
        view.pointer("/languages/0/status").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    async fn why_last(&self) -> Value {
        let outbox = self.daemon.get("outbox?state=failed").await;
        let id = outbox.pointer("/items/0/id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.daemon.get(&format!("why/{id}")).await
    }
}

#[tokio::test]
async fn templates_are_fetched_and_checked_before_queueing() {
    let templates = [
        ("order", "en", "UTILITY", json!([body("Order {{1}} is ready, {{2}}.")])),
        ("order", "nl", "UTILITY", json!([body("Bestelling {{1}} is klaar, {{2}}.")])),
        ("news", "en", "MARKETING", json!([body("News of the week")])),
    ];
    let world = World::new(&templates, "").await;
    let list = world.daemon.get("templates").await;
    let names: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|template| (template["name"].clone(), template["language"].clone()))
        .collect();
    assert_eq!(
        names,
        [(json!("news"), json!("en")), (json!("order"), json!("en")), (json!("order"), json!("nl"))],
        "{list}"
    );

    world.say("Ana", "template order en A-1 Ana").await;
    assert_eq!(world.received("Ana").await, ["order"]);
    for (command, code) in [
        ("template order en A-1", "template-parameters"),
        ("template order en A-1 Ana more", "template-parameters"),
        ("template oder en A-1 Ana", "template-unknown"),
        ("template order en 20%off Ana", ""),
        ("template order en discount Ana", "template-advertising"),
    ] {
        world.say("Ana", command).await;
        if !code.is_empty() {
            let reply = world.last_text("Ana").await;
            assert!(reply.starts_with(code), "{command}: {reply}");
        }
    }
    // Ana's number is Portuguese or not: the language falls back to the configured one.
    world.say("Ana", "template order et A-2 Ana").await;
    world.say("Ana", "template order nl_BE A-3 Ana").await;
    let messages = world.simulator.messages(Some("Ana")).await;
    let languages: Vec<_> =
        messages.iter().filter_map(|message| message.pointer("/body/language/code")?.as_str()).collect();
    assert_eq!(&languages[languages.len() - 2..], ["en", "nl"], "{messages:?}");
    world.daemon.stop().await;
}

#[tokio::test]
async fn webhooks_update_templates() {
    let templates = [("order", "en", "UTILITY", json!([body("Your order is ready.")]))];
    let world = World::new(&templates, "").await;
    for (event, code) in
        [("pause", "template-paused"), ("disable", "template-disabled"), ("pending_deletion", "template-not-approved")]
    {
        world.change(json!({"name": "order", "event": event})).await;
        world.say("Ana", "template order en").await;
        let reply = world.last_text("Ana").await;
        assert!(reply.starts_with(code), "{event}: {reply} ({})", world.status_of("order").await);
    }
    world.change(json!({"name": "order", "event": "approve"})).await;
    world.say("Ana", "template order en").await;
    assert_eq!(world.received("Ana").await, ["order"]);

    // The category is the platform's: what was a utility template is marketing now, and Ana does
    // not want marketing.
    let ana = world.simulator.id_of("Ana").await;
    world.simulator.control("POST", "marketing", &json!({"person": ana, "value": "stop"})).await;
    world.simulator.wait_until_idle().await;
    world.say("Ana", "template order en").await;
    assert_eq!(world.received("Ana").await.len(), 2, "a utility template is not marketing");
    world.change(json!({"name": "order", "category": "MARKETING"})).await;
    world.say("Ana", "template order en").await;
    let reply = world.last_text("Ana").await;
    assert!(reply.starts_with("marketing-opted-out"), "{reply}");

    // A template that is not known yet is fetched after the news of it.
    let template = json!({"name": "fresh", "language": "en", "category": "UTILITY", "components": [body("Fresh")]});
    world.simulator.graph("POST", &format!("{}/message_templates", webhook::BUSINESS_ID), &template).await;
    world.simulator.advance(1000).await;
    world.sync().await;
    assert_eq!(world.status_of("fresh").await, "approved");
    world.daemon.stop().await;
}

#[tokio::test]
async fn template_reaches_a_person_outside_the_window() {
    let templates = [("order", "en", "UTILITY", json!([body("Your order is ready.")]))];
    let world = World::new(&templates, "").await;
    world.say("Ana", "in 1500 template order en").await;
    world.say("Bram", "in 1500 template order en").await;
    world.say("Bram", "allowed").await;
    let reply = world.last_text("Bram").await;
    assert_eq!(reply, "anything: true; order en utility ()");
    world.simulator.advance(25 * HOUR_MS).await;
    wait_until("the template arrives", async || (world.received("Ana").await == ["order"]).then_some(())).await;
    assert_eq!(world.received("Bram").await, ["order"]);

    let contacts = world.daemon.get("contacts").await;
    let ana = contacts.pointer("/items/0/id").and_then(Value::as_str).unwrap().to_owned();
    let explained = world.daemon.get(&format!("gate/explain/{ana}?text=hello")).await;
    assert_eq!(explained["verdict"], "template-needed", "{explained}");
    assert_eq!(explained.pointer("/candidates/0/name"), Some(&json!("order")), "{explained}");
    let explained = world.daemon.get(&format!("gate/explain/{ana}?template=order")).await;
    assert_eq!((&explained["verdict"], &explained["category"]), (&json!("send"), &json!("utility")), "{explained}");
    let explained = world.daemon.get(&format!("gate/explain/{ana}?template=none")).await;
    assert_eq!(explained.pointer("/problem/code"), Some(&json!("template-unknown")), "{explained}");
    let output = world.setup.cli(&["gate", "explain", &ana, "--template", "order"]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("verdict       send"), "{output:?}");

    // What was decided stays as it was, whatever happens later.
    let outbox = world.daemon.get("outbox?state=accepted").await;
    let sent =
        outbox["items"].as_array().unwrap().iter().find(|send| send["summary"].as_str().unwrap().contains("order"));
    let why = world.daemon.get(&format!("why/{}", sent.unwrap()["id"].as_str().unwrap())).await.to_string();
    world.change(json!({"name": "order", "event": "pause"})).await;
    assert!(why.contains("gate, when requested") && why.contains("a template needs no open window"), "{why}");
    let again = world.daemon.get(&format!("why/{}", sent.unwrap()["id"].as_str().unwrap())).await.to_string();
    assert!(again.contains("the utility template `order` in `en` is approved"), "{again}");
    world.daemon.stop().await;
}

#[tokio::test]
async fn quiet_hours_defer_until_the_recipients_morning() {
    let templates = [("news", "en", "MARKETING", json!([body("News of the week")]))];
    let quiet = "[gate.quiet_hours]\nfrom = \"21:00\"\nto = \"08:00\"";
    let world = World::new(&templates, quiet).await;
    // At 21:30 UTC.
    world.say("Ana", "in 570 template news en").await;
    world.agree("marketing").await;
    let contacts = world.daemon.get("contacts").await;
    let id = contacts.pointer("/items/0/id").and_then(Value::as_str).unwrap().to_owned();
    let set = world.setup.cli(&["contacts", "set", &id, "--timezone", "UTC"]).await;
    assert!(set.status.success(), "{set:?}");
    world.simulator.advance(10 * HOUR_MS).await;
    assert_eq!(world.received("Ana").await, Vec::<String>::new());
    let outbox = world.daemon.get("outbox?state=queued").await;
    assert_eq!(outbox["items"][0]["due_at"], "2026-03-28T08:00:00.000Z", "{outbox}");
    let why = world.daemon.get(&format!("why/{}", outbox["items"][0]["id"].as_str().unwrap())).await.to_string();
    assert!(why.contains("these are quiet hours where the recipient lives, until 2026-03-28 08:00"), "{why}");
    world.simulator.advance(11 * HOUR_MS).await;
    wait_until("the news arrives", async || (world.received("Ana").await == ["news"]).then_some(())).await;
    world.daemon.stop().await;
}

#[tokio::test]
async fn frequency_cap_counts_marketing_only() {
    let templates = [
        ("news", "en", "MARKETING", json!([body("News of the week")])),
        ("order", "en", "UTILITY", json!([body("Your order is ready.")])),
    ];
    let world = World::new(&templates, "[gate.marketing_caps]\nper_day = 2\ntopic_per_week = 1").await;
    world.say("Ana", "hello").await;
    world.agree("marketing").await;
    for command in
        ["topic cats news en", "topic cats news en", "topic dogs news en", "template news en", "template order en"]
    {
        world.say("Ana", command).await;
    }
    assert_eq!(world.received("Ana").await, ["news", "news", "order"]);
    let texts = world.simulator.texts("Ana").await;
    assert!(texts.iter().filter(|text| text.starts_with("frequency-cap")).count() == 2, "{texts:?}");
    world.simulator.advance(25 * HOUR_MS).await;
    for command in ["template news en", "topic cats news en"] {
        world.say("Ana", command).await;
    }
    assert_eq!(world.received("Ana").await, ["news", "news", "order", "news"]);
    world.daemon.stop().await;
}

#[tokio::test]
async fn messaging_limit_is_not_exceeded() {
    let templates = [("order", "en", "UTILITY", json!([body("Your order is ready.")]))];
    let world = World::new(&templates, "").await;
    world.simulator.control("POST", "account", &json!({"messaging_limit": 2})).await;
    world.sync().await;
    for person in ["Ana", "Bram", "Kadri"] {
        world.say(person, "in 1500 template order en").await;
    }
    world.simulator.advance(25 * HOUR_MS).await;
    let reached = async || {
        let mut reached = 0;
        for person in ["Ana", "Bram", "Kadri"] {
            reached += world.received(person).await.len();
        }
        reached
    };
    wait_until("two people are reached", async || (reached().await == 2).then_some(())).await;
    let outbox = world.daemon.get("outbox?state=queued").await;
    assert_eq!(outbox["items"].as_array().map(Vec::len), Some(1), "{outbox}");
    world.simulator.advance(25 * HOUR_MS).await;
    wait_until("the third person is reached a day later", async || (reached().await == 3).then_some(())).await;
    world.daemon.stop().await;
}

/// Queued for the morning, and paused by the platform in the night.
#[tokio::test]
async fn template_that_is_paused_meanwhile_does_not_leave() {
    let templates = [("news", "en", "MARKETING", json!([body("News of the week")]))];
    let world = World::new(&templates, "[gate.quiet_hours]\nfrom = \"21:00\"\nto = \"08:00\"").await;
    world.say("Ana", "in 720 template news en").await;
    world.agree("marketing").await;
    world.simulator.advance(13 * HOUR_MS).await;
    world.change(json!({"name": "news", "event": "disable"})).await;
    world.simulator.advance(20 * HOUR_MS).await;
    world.daemon.wait_until_idle().await;
    assert_eq!(world.received("Ana").await, Vec::<String>::new());
    let why = world.why_last().await.to_string();
    assert!(
        why.contains("gate, when about to leave") && why.contains("refused by template (template-disabled)"),
        "{why}"
    );
    world.daemon.stop().await;
}

#[tokio::test]
async fn number_that_may_not_write_first_still_answers() {
    let templates = [("order", "en", "UTILITY", json!([body("Your order is ready.")]))];
    let world = World::new(&templates, "").await;
    world.say("Ana", "in 1500 template order en").await;
    world.simulator.control("POST", "account", &json!({"restriction": "no_business_initiated"})).await;
    world.simulator.advance(25 * HOUR_MS + 1000).await;
    let status =
        world.daemon.wait_for_status(|status| status["problems"].to_string().contains("may not write first")).await;
    assert_eq!(status["channels"][0]["state"], "open", "{status}");
    // Answers are not limited.
    world.simulator.say("Bram", "allowed").await;
    wait_until("Bram is answered", async || (world.simulator.texts("Bram").await.len() == 1).then_some(())).await;
    assert_eq!(world.received("Ana").await, Vec::<String>::new());
    world.simulator.control("POST", "account", &json!({"restriction": "none"})).await;
    world.simulator.advance(HOUR_MS).await;
    wait_until("the template arrives", async || (world.received("Ana").await == ["order"]).then_some(())).await;
    world.daemon.stop().await;
}

/// The platform's cap on marketing to a person, reported by a receipt: not before a day has passed.
#[tokio::test]
async fn marketing_that_the_platform_caps_is_not_repeated_for_a_day() {
    let templates = [("news", "en", "MARKETING", json!([body("News of the week")]))];
    let world = World::new(&templates, "").await;
    world.say("Ana", "hello").await;
    world.agree("marketing").await;
    world.simulator.set_faults(json!({ "marketing_capped": { "next": 1 } })).await;
    world.say("Ana", "template news en").await;
    wait_until("the failure is reported", async || {
        (world.daemon.get("outbox?state=failed").await["items"].as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    world.say("Ana", "template news en").await;
    let reply = world.last_text("Ana").await;
    assert!(reply.starts_with("marketing-limited"), "{reply}");
    world.simulator.advance(25 * HOUR_MS).await;
    world.say("Ana", "template news en").await;
    assert_eq!(world.received("Ana").await.len(), 2, "the failed one and the last one");
    world.daemon.stop().await;
}

#[tokio::test]
async fn marketing_without_consent_is_refused() {
    let templates = [("news", "en", "MARKETING", json!([body("News of the week")]))];
    let world = World::new(&templates, "").await;
    world.say("Ana", "topic cats news en").await;
    let reply = world.last_text("Ana").await;
    assert!(reply.starts_with("not-opted-in") && reply.contains("marketing:cats"), "{reply}");
    world.agree("marketing:cats").await;
    world.say("Ana", "topic cats news en").await;
    assert_eq!(world.received("Ana").await, ["news"]);
    world.daemon.stop().await;
}

/// Consent is looked up again when a message is about to leave.
#[tokio::test]
async fn withdrawal_stops_queued_marketing() {
    let templates = [("news", "en", "MARKETING", json!([body("News of the week")]))];
    let world = World::new(&templates, "[gate.quiet_hours]\nfrom = \"21:00\"\nto = \"08:00\"").await;
    world.say("Ana", "hello").await;
    world.agree("marketing:cats").await;
    world.say("Ana", "topic cats news en").await;
    assert_eq!(world.received("Ana").await, ["news"]);
    world.say("Ana", "in 720 topic cats news en").await;
    world.simulator.advance(13 * HOUR_MS).await;
    let output = world.setup.cli(&["consents", "withdraw", "con_1", "marketing"]).await;
    assert!(output.status.success(), "{output:?}");
    world.simulator.advance(20 * HOUR_MS).await;
    world.daemon.wait_until_idle().await;
    assert_eq!(world.received("Ana").await, ["news"]);
    let why = world.why_last().await.to_string();
    assert!(why.contains("refused by consent (not-opted-in)"), "{why}");
    world.daemon.stop().await;
}

/// WhatsApp holds the first messages with a new template until it has seen how people react.
#[tokio::test]
async fn template_that_is_held_for_quality_is_shown_until_it_is_sent() {
    let templates = [("order", "en", "UTILITY", json!([body("Your order is ready.")]))];
    let world = World::new(&templates, "").await;
    world.simulator.set_faults(json!({ "template_hold": true, "template_hold_ms": HOUR_MS })).await;
    world.say("Ana", "template order en").await;
    let row = world.daemon.get("outbox?state=accepted").await["items"][0].clone();
    assert!(row["held_at"].is_string() && row["receipt"].is_null(), "{row}");
    let why = async || world.daemon.get(&format!("why/{}", row["id"].as_str().unwrap())).await.to_string();
    assert!(why().await.contains("held by WhatsApp for a quality assessment"));
    world.simulator.advance(2 * HOUR_MS).await;
    wait_until("it is sent", async || why().await.contains("receipt: sent").then_some(())).await;
    world.daemon.stop().await;
}

/// A plugin may catch a refusal. The operator sees all the same why nothing was sent.
#[tokio::test]
async fn refused_message_is_explained_although_the_plugin_goes_on() {
    let world = World::new(&[], "").await;
    world.say("Ana", "in 1 for survey How was it?").await;
    world.simulator.advance(2 * 60_000).await;
    let timer = wait_until("the timer fires", async || {
        let events = world.daemon.get("events?kind=timer").await;
        Some(events.pointer("/items/0/id")?.as_str()?.to_owned())
    });
    let timer = timer.await;
    world.daemon.wait_until_idle().await;
    let why = String::from_utf8(world.setup.cli(&["why", &timer]).await.stdout).unwrap();
    assert!(why.contains("asked for a text to con_1 for survey: refused by consent (not-opted-in): "), "{why}");
    assert!(why.contains("gate consent") && why.contains("refuses: "), "{why}");
    assert!(!why.contains("How was it"), "{why}");
    let why = String::from_utf8(world.setup.cli(&["why", "con_1"]).await.stdout).unwrap();
    assert!(why.contains("messenger asked for a text to con_1 for survey: refused by consent (not-opted-in)"), "{why}");
    let metrics = world.daemon.try_get("/metrics").await.unwrap().text();
    assert!(metrics.contains("beadle_refused_messages_total{code=\"not-opted-in\"} 1"), "{metrics}");
    world.daemon.stop().await;
}

/// What a plugin states about a message: what it is for, and that it must not be repeated.
#[tokio::test]
async fn stated_purpose_needs_consent_and_a_key_is_used_once() {
    let world = World::new(&[], "").await;
    world.say("Ana", "for survey How was it?").await;
    let reply = world.last_text("Ana").await;
    assert!(reply.starts_with("not-opted-in") && reply.contains("survey"), "{reply}");
    let explain = ["gate", "explain", "con_1", "--text", "How was it?", "--purpose", "survey"];
    let explained = String::from_utf8(world.setup.cli(&explain).await.stdout).unwrap();
    assert!(explained.contains("not-opted-in"), "{explained}");
    world.agree("survey").await;
    world.say("Ana", "for survey How was it?").await;
    assert_eq!(world.last_text("Ana").await, "How was it?");
    let explained = String::from_utf8(world.setup.cli(&explain).await.stdout).unwrap();
    assert!(explained.contains("agreed to requests for feedback"), "{explained}");
    world.say("Ana", "for news Hello").await;
    assert!(world.last_text("Ana").await.starts_with("unknown-purpose"));

    world.say("Ana", "once reward-7 A reward").await;
    assert_eq!(world.last_text("Ana").await, "A reward");
    for (command, sent) in [("once reward-7 Again", 1), ("twice reward-8 Both", 2), ("once reward-8 Again", 2)] {
        world.say("Ana", command).await;
        let texts = world.simulator.texts("Ana").await;
        assert!(texts.last().unwrap().starts_with("already-sent"), "{command}: {texts:?}");
        let rewards = texts.iter().filter(|text| ["A reward", "Both", "Again"].contains(&text.as_str())).count();
        assert_eq!(rewards, sent, "{command}: {texts:?}");
    }
    // After a restart too.
    world.daemon.stop().await;
    let daemon = world.setup.start().await;
    world.simulator.say("Ana", "once reward-7 Again").await;
    world.simulator.advance(0).await;
    daemon.wait_until_idle().await;
    assert!(world.simulator.texts("Ana").await.pop().unwrap().starts_with("already-sent"));
    daemon.stop().await;
}

/// Who leaves gets nothing that was asked for before, also if they join again.
#[tokio::test]
async fn leave_stops_what_waits() {
    let quiet = "[gate.quiet_hours]\nfrom = \"08:00\"\nto = \"18:00\"\napplies_to = \"outreach\"";
    let world = World::new(&[], quiet).await;
    for person in ["Ana", "Bram"] {
        world.say(person, "in 1 for service Hello").await;
    }
    world.simulator.advance(2 * 60_000).await;
    world.daemon.wait_for_status(|status| status["queued"] == 2).await;
    for (word, answers) in [("LEAVE", 1), ("JOIN", 2)] {
        world.simulator.say("Ana", word).await;
        wait_until("it is answered", async || (world.simulator.texts("Ana").await.len() == answers).then_some(()))
            .await;
    }
    world.simulator.advance(8 * HOUR_MS).await;
    world.daemon.wait_until_idle().await;
    assert!(!world.simulator.texts("Ana").await.contains(&"Hello".to_owned()));
    assert_eq!(world.last_text("Bram").await, "Hello");
    let why = world.why_last().await.to_string();
    assert!(why.contains("refused by consent (left)"), "{why}");
    world.daemon.stop().await;
}
