//! Broadcasts with the real programs: each person gets one message across kills, excluded people
//! get none, and rules pause a broadcast.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::rng::{Rng, is_long_run};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::{rfc3339, time_at, wait_for_count, wait_until, webhook};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const CONFIG: &str = r#"
[keywords]
brand = "De Buurt"
[consents]
double_opt_in = []
[consents.wordings.news]
purpose = "marketing:news"
text = { en = "De Buurt may send me news. STOP ends it." }
"#;

/// The tables of a definition that follow its audience.
const NEWS: &str = "purpose = \"marketing:news\"\n[template]\nname = \"news\"\nbody = [\"{first_name|there}\"]\n";

struct World {
    setup: Setup,
    simulator: Simulator,
}

impl World {
    /// Starts the daemon with people who agreed to news, and the template `news`.
    async fn new(people: usize, toml: &str) -> (Self, Daemon) {
        Self::with_pace(people, UNPACED, toml).await
    }

    /// The same; `pace` has the limits of the channel.
    async fn with_pace(people: usize, pace: &str, toml: &str) -> (Self, Daemon) {
        let address = SimulatorAddress::reserve();
        let setup = Setup::new(&address.url()).toml(pace).toml(CONFIG).toml(toml);
        let simulator = address.start(&setup).await;
        simulator.set_faults(json!({ "template_review_ms": 0, "unknown_numbers": "create" })).await;
        let daemon = setup.start().await;
        let world = Self { setup, simulator };
        let body = json!({"type": "BODY", "text": "Hello {{1}}, news!", "example": {"body_text": [["Ana"]]}});
        world.add_template("news", "en", "MARKETING", body).await;
        world.sync(&daemon).await;
        world.import(0..people).await;
        (world, daemon)
    }

    async fn add_template(&self, name: &str, language: &str, category: &str, body: Value) {
        let template = json!({"name": name, "language": language, "category": category, "components": [body]});
        self.simulator.graph("POST", &format!("{}/message_templates", webhook::BUSINESS_ID), &template).await;
    }

    async fn sync(&self, daemon: &Daemon) {
        wait_until("the template is approved", async || {
            let answer = daemon.post("templates/sync").await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let list = daemon.get("templates?status=approved").await;
            (!list["items"].as_array().unwrap().is_empty()).then_some(())
        })
        .await;
    }

    /// Imports people; the number of each ends with its own.
    async fn import(&self, people: std::ops::Range<usize>) {
        let rows: String = people.map(|n| format!("{},Person {n}\n", number(n))).collect();
        let file = self.setup.data().join("people.csv");
        std::fs::write(&file, format!("phone,name\n{rows}")).unwrap();
        let path = file.to_string_lossy().into_owned();
        let source = ["--consent-source", "paper", "--consent-purpose", "marketing:news", "--consent-wording", "news"];
        self.run(&[&["contacts", "import", &path][..], &source].concat()).await;
    }

    /// Runs a command that must succeed; returns what it prints.
    async fn run(&self, arguments: &[&str]) -> String {
        let output = self.setup.cli(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command that must fail; returns its standard error.
    async fn fails(&self, arguments: &[&str]) -> String {
        let output = self.setup.cli(arguments).await;
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Writes a definition; returns its path.
    fn write(&self, name: &str, rest: &str) -> String {
        let file = self.setup.data().join(format!("{name}.toml"));
        std::fs::write(&file, format!("name = \"{name}\"\n{rest}")).unwrap();
        file.to_string_lossy().into_owned()
    }

    /// Creates a broadcast.
    async fn create(&self, name: &str, rest: &str) {
        let file = self.write(name, rest);
        self.run(&["broadcasts", "create", &file, "--by", "Ana"]).await;
    }

    /// Creates, plans and starts one.
    async fn send(&self, name: &str, rest: &str) {
        self.create(name, rest).await;
        self.run(&["broadcasts", "plan", name]).await;
        self.run(&["broadcasts", "start", name]).await;
    }

    /// How often each person received something.
    async fn received(&self) -> BTreeMap<String, usize> {
        let mut received = BTreeMap::new();
        for message in self.simulator.messages(None).await {
            *received.entry(text(&message, "/person").to_owned()).or_default() += 1;
        }
        received
    }
}

fn number(n: usize) -> String {
    format!("316{n:08}")
}

async fn show(daemon: &Daemon, name: &str) -> Value {
    daemon.get(&format!("broadcasts/{name}")).await
}

async fn wait_for_state(daemon: &Daemon, name: &str, state: &str) -> Value {
    wait_until(&format!("{name} is {state}"), async || {
        let view = show(daemon, name).await;
        (text(&view, "/state") == state).then_some(view)
    })
    .await
}

fn count(view: &Value, state: &str) -> u64 {
    view.pointer(&format!("/recipients/{state}")).and_then(Value::as_u64).unwrap_or_default()
}

/// How many people are excluded for this reason.
fn refused(view: &Value, code: &str) -> u64 {
    let rows = view["codes"].as_array().cloned().unwrap_or_default();
    let found = rows.iter().find(|row| text(row, "/code") == code && text(row, "/state") == "refused");
    found.and_then(|row| row["recipients"].as_u64()).unwrap_or_default()
}

/// People of the large broadcast.
const CROWD: usize = 20_000;

#[tokio::test]
async fn broadcast_reaches_each_person_once_across_kills() {
    let mut rng = Rng::seeded();
    let outbox = "[outbox]\non_ambiguous = \"hold\"\nambiguous_wait = \"1s\"\n[broadcasts]\napproval_above = 0\n\
                  max_failed_percent = 100";
    let (world, mut daemon) = World::new(CROWD, outbox).await;
    world.create("news", &format!("audience = \"everyone\"\n{NEWS}")).await;
    // A kill while it is being planned starts nothing.
    let plan = world.setup.command(&["broadcasts", "plan", "news"]).kill_on_drop(true).spawn().unwrap();
    rng.sleep_below(1500).await;
    daemon.kill9().await;
    drop(plan);
    daemon = world.setup.start().await;
    assert!(world.simulator.messages(None).await.is_empty());
    world.run(&["broadcasts", "plan", "news"]).await;
    let view = show(&daemon, "news").await;
    assert_eq!(view.pointer("/plan/recipients"), Some(&json!(CROWD)), "{view}");
    world.run(&["broadcasts", "start", "news"]).await;
    for _ in 0..if is_long_run() { 40 } else { 8 } {
        rng.sleep_below(1500).await;
        daemon.kill9().await;
        daemon = world.setup.start().await;
    }
    wait_for_count("the broadcast continues", CROWD as u64, async || {
        let view = show(&daemon, "news").await;
        count(&view, "sent") + count(&view, "failed")
    })
    .await;
    wait_for_state(&daemon, "news", "finished").await;
    let received = world.received().await;
    let twice: Vec<_> = received.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
    // Sends that were ambiguous after a kill are held for the operator, unless a late receipt
    // settles them. Each of them may have arrived.
    let (view, dead) = wait_until("every failed send is a dead letter", async || {
        let dead = daemon.list_all("dead-letters").await;
        let view = show(&daemon, "news").await;
        (dead.len() as u64 == count(&view, "failed")).then_some((view, dead))
    })
    .await;
    let held = count(&view, "failed");
    assert!(dead.iter().all(|row| text(row, "/code") == "outcome-unknown"), "{dead:?}");
    let missing = CROWD - received.len();
    assert!(missing as u64 <= held, "{missing} did not get it, {held} are held");
    assert_eq!(count(&view, "sent") + held, CROWD as u64, "{view}");
    // The operator decides: now everyone has it.
    for row in &dead {
        let id = text(row, "/id");
        // A receipt may have settled it meanwhile.
        assert!(matches!(daemon.post(&format!("dead-letters/{id}/retry")).await.status, 200 | 404), "{row}");
    }
    daemon.wait_until_idle().await;
    assert_eq!(world.received().await.len(), CROWD);
    daemon.stop().await;
}

#[tokio::test]
async fn dry_run_counts_and_nobody_gets_it_who_may_not() {
    let (world, daemon) = World::new(6, "").await;
    let body = json!({"type": "BODY", "text": "Hallo {{1}}, nieuws!", "example": {"body_text": [["Ana"]]}});
    world.add_template("news", "nl", "MARKETING", body).await;
    world.sync(&daemon).await;
    wait_until("both languages are known", async || {
        daemon.post("templates/sync").await;
        let list = daemon.get("templates?status=approved").await;
        (list["items"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    world.run(&["contacts", "set", "con_1", "--language", "nl"]).await;
    world.run(&["contacts", "set", "con_2", "--role", "banned"]).await;
    world.run(&["consents", "withdraw", "con_3", "marketing"]).await;
    world.run(&["consents", "withdraw", "con_4", "service"]).await;
    world.create("news", &format!("audience = \"everyone\"\n{NEWS}")).await;
    let plan = world.run(&["broadcasts", "plan", "news"]).await;
    for part in [
        "3 of 6 people; 3 excluded",
        "banned",
        "not-opted-in",
        "opted-out",
        "template in en",
        "Hello Person, news!",
        "template in nl",
        "Hallo Person, nieuws!",
    ] {
        assert!(plan.contains(part), "`{part}` is missing in\n{plan}");
    }
    assert!(world.simulator.messages(None).await.is_empty(), "nothing is sent");
    // A test goes to one person, and counts for nothing.
    world.run(&["broadcasts", "test", "news", "con_5"]).await;
    wait_until("the test arrives", async || (world.received().await.len() == 1).then_some(())).await;
    let error = world.fails(&["broadcasts", "test", "news", "con_2"]).await;
    assert!(error.contains("banned"), "{error}");
    // Between planning and sending one more withdraws.
    world.run(&["consents", "withdraw", "con_6", "marketing:news"]).await;
    world.run(&["broadcasts", "start", "news"]).await;
    let view = wait_for_state(&daemon, "news", "finished").await;
    assert_eq!((count(&view, "sent"), count(&view, "refused")), (2, 4), "{view}");
    assert_eq!(refused(&view, "not-opted-in"), 2, "{view}");
    let received = world.received().await;
    assert_eq!(received.values().sum::<usize>(), 3, "the test, and two recipients: {received:?}");
    // What was sent is not sent again.
    let error = world.fails(&["broadcasts", "start", "news"]).await;
    assert!(error.contains("broadcast-state") && error.contains("finished"), "{error}");
    let file = world.setup.data().join("news.toml").to_string_lossy().into_owned();
    let error = world.fails(&["broadcasts", "create", &file, "--by", "Ana"]).await;
    assert!(error.contains("broadcast-exists"), "{error}");
    // Why, for one message.
    let rows = daemon.list_all("broadcasts/news/recipients?state=delivered").await;
    let why = daemon.get(&format!("why/{}", text(&rows[0], "/message"))).await.to_string();
    assert!(why.contains("part of broadcast news") && why.contains("agreed to marketing"), "{why}");
    daemon.stop().await;
}

#[tokio::test]
async fn template_that_changes_after_planning_is_not_sent() {
    let (world, daemon) = World::new(4, "").await;
    world.create("news", &format!("audience = \"everyone\"\n{NEWS}")).await;
    world.run(&["broadcasts", "plan", "news"]).await;
    world.simulator.control("POST", "templates", &json!({"name": "news", "category": "UTILITY"})).await;
    wait_until("the change is known", async || {
        daemon.post("templates/sync").await;
        (text(&daemon.get("templates").await, "/items/0/category") == "utility").then_some(())
    })
    .await;
    let error = world.fails(&["broadcasts", "start", "news"]).await;
    assert!(error.contains("broadcast-template-changed") && error.contains("beadle broadcasts plan news"), "{error}");
    assert!(world.simulator.messages(None).await.is_empty());
    world.run(&["broadcasts", "plan", "news"]).await;
    world.run(&["broadcasts", "start", "news"]).await;
    let view = wait_for_state(&daemon, "news", "finished").await;
    assert_eq!(count(&view, "sent"), 4, "{view}");
    // A template that WhatsApp pauses pauses it, and it resumes where it was.
    world.import(4..8).await;
    world
        .create("more", &format!("audience = {{ contacts = [\"con_5\", \"con_6\", \"con_7\", \"con_8\"] }}\n{NEWS}"))
        .await;
    world.run(&["broadcasts", "plan", "more"]).await;
    world.simulator.control("POST", "templates", &json!({"name": "news", "event": "pause"})).await;
    wait_until("the pause is known", async || {
        (text(&daemon.get("templates").await, "/items/0/status") == "paused").then_some(())
    })
    .await;
    world.run(&["broadcasts", "start", "more"]).await;
    let view = wait_for_state(&daemon, "more", "paused").await;
    assert_eq!((text(&view, "/reason/code"), count(&view, "planned")), ("template-paused", 4), "{view}");
    assert!(daemon.status().await["problems"].to_string().contains("broadcast `more` is paused"));
    world.simulator.control("POST", "templates", &json!({"name": "news", "event": "approve"})).await;
    wait_until("it is approved again", async || {
        (text(&daemon.get("templates").await, "/items/0/status") == "approved").then_some(())
    })
    .await;
    world.run(&["broadcasts", "resume", "more"]).await;
    let view = wait_for_state(&daemon, "more", "finished").await;
    assert_eq!(count(&view, "sent"), 4, "{view}");
    daemon.stop().await;
}

#[tokio::test]
async fn large_broadcast_needs_a_second_person() {
    let (world, daemon) = World::new(5, "[broadcasts]\napproval_above = 4").await;
    world.create("news", &format!("audience = \"everyone\"\n{NEWS}")).await;
    let error = world.fails(&["broadcasts", "start", "news"]).await;
    assert!(error.contains("broadcast-state") && error.contains("not planned"), "{error}");
    world.run(&["broadcasts", "plan", "news"]).await;
    let error = world.fails(&["broadcasts", "start", "news"]).await;
    assert!(error.contains("broadcast-approval") && error.contains("5 recipients"), "{error}");
    let error = world.fails(&["broadcasts", "approve", "news", "--by", "ana"]).await;
    assert!(error.contains("broadcast-same-person"), "{error}");
    world.run(&["broadcasts", "approve", "news", "--by", "Bram"]).await;
    // What was approved is what is sent.
    world.run(&["broadcasts", "plan", "news"]).await;
    assert!(world.fails(&["broadcasts", "start", "news"]).await.contains("broadcast-approval"));
    world.run(&["broadcasts", "approve", "news", "--by", "Bram"]).await;
    world.run(&["broadcasts", "start", "news"]).await;
    let view = wait_for_state(&daemon, "news", "finished").await;
    assert_eq!((count(&view, "sent"), text(&view, "/approved_by")), (5, "Bram"), "{view}");
    daemon.stop().await;
}

#[tokio::test]
async fn pause_resume_and_stop() {
    let (world, daemon) = World::new(60, "[outbox]\nmax_in_flight = 4").await;
    world.simulator.set_faults(json!({ "send_slow": { "probability": 1.0, "ms": 150 } })).await;
    world.send("news", &format!("audience = \"everyone\"\n{NEWS}")).await;
    let paused = world.run(&["broadcasts", "pause", "news"]).await;
    assert!(paused.contains("news paused"), "{paused}");
    daemon.wait_until_idle().await;
    let view = show(&daemon, "news").await;
    let sent = count(&view, "sent");
    assert_eq!((text(&view, "/state"), sent + count(&view, "planned")), ("paused", 60), "{view}");
    assert_eq!(world.received().await.len() as u64, sent);
    world.run(&["broadcasts", "resume", "news"]).await;
    let view = wait_for_state(&daemon, "news", "finished").await;
    assert_eq!(count(&view, "sent"), 60, "{view}");
    assert!(world.received().await.values().all(|times| *times == 1));
    world.create("more", &format!("audience = \"everyone\"\n{NEWS}")).await;
    world.run(&["broadcasts", "stop", "more"]).await;
    let error = world.fails(&["broadcasts", "plan", "more"]).await;
    assert!(error.contains("broadcast-state") && error.contains("stopped"), "{error}");
    daemon.stop().await;
}

#[tokio::test]
async fn failures_pause_it_and_those_who_failed_get_it_later() {
    let toml = "[broadcasts]\nmin_messages = 20\nmax_failed_percent = 30\n[outbox]\nmax_in_flight = 40";
    // At 80 messages a second, the rules are applied in the middle.
    let (world, daemon) = World::with_pace(300, "", toml).await;
    let faults = json!({"send_async_failure": {"probability": 1.0, "code": 131_000}});
    world.simulator.set_faults(faults).await;
    world.send("news", &format!("audience = \"everyone\"\n{NEWS}")).await;
    let view = wait_for_state(&daemon, "news", "paused").await;
    assert_eq!(text(&view, "/reason/code"), "broadcast-failures", "{view}");
    daemon.wait_until_idle().await;
    let none = json!({"send_async_failure": {"probability": 0.0}});
    world.simulator.set_faults(none).await;
    let failed = count(&show(&daemon, "news").await, "failed");
    assert!(failed >= 20, "{failed}");
    let resumed = world.run(&["broadcasts", "resume", "news", "--failed"]).await;
    assert!(resumed.contains("failed messages sent again"), "{resumed}");
    let view = wait_for_state(&daemon, "news", "finished").await;
    assert_eq!((count(&view, "sent"), count(&view, "failed")), (300, 0), "{view}");
    daemon.stop().await;
}

#[tokio::test]
async fn number_that_is_not_on_whatsapp_is_tried_once() {
    let (world, daemon) = World::new(2, "").await;
    world.send("first", &format!("audience = \"everyone\"\n{NEWS}")).await;
    wait_for_state(&daemon, "first", "finished").await;
    // Further numbers do not exist.
    world.simulator.set_faults(json!({ "unknown_numbers": "undeliverable" })).await;
    world.import(2..3).await;
    world.send("second", &format!("audience = \"everyone\"\n{NEWS}")).await;
    wait_for_state(&daemon, "second", "finished").await;
    let view = wait_until("WhatsApp reports it", async || {
        let view = show(&daemon, "second").await;
        (count(&view, "failed") == 1).then_some(view)
    })
    .await;
    assert_eq!(text(&view, "/codes/0/code"), "131026", "{view}");
    let shown = world.run(&["contacts", "show", "con_3"]).await;
    assert!(shown.contains("unreachable") && shown.contains("(131026)"), "{shown}");
    let reasons = world.run(&["why", "con_3"]).await;
    assert!(reasons.contains("could not deliver to them (131026)"), "{reasons}");
    let resumed = world.run(&["broadcasts", "resume", "second", "--failed"]).await;
    assert!(resumed.contains("0 failed messages sent again"), "{resumed}");
    world.create("third", &format!("audience = \"everyone\"\n{NEWS}")).await;
    world.run(&["broadcasts", "plan", "third"]).await;
    assert_eq!(refused(&show(&daemon, "third").await, "unreachable"), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn budget_pauses_it() {
    let rates = "currency = \"EUR\"\n[[lists]]\nfrom = \"2020-01-01\"\nsource = \"a scenario\"\n\
                 [[lists.markets]]\ncountries = [\"NL\"]\nmarketing = 0.10\n";
    let toml = "[costs]\nrates = \"rates.toml\"\n[[budgets]]\nname = \"news\"\nperiod = \"day\"\namount = 0.45\ncurrency = \"EUR\"";
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).toml(UNPACED).toml(CONFIG).toml(toml);
    std::fs::write(setup.config().with_file_name("rates.toml"), rates).unwrap();
    let simulator = address.start(&setup).await;
    simulator.set_faults(json!({ "template_review_ms": 0, "unknown_numbers": "create" })).await;
    let daemon = setup.start().await;
    let world = World { setup, simulator };
    let body = json!({"type": "BODY", "text": "Hello {{1}}, news!", "example": {"body_text": [["Ana"]]}});
    world.add_template("news", "en", "MARKETING", body).await;
    world.sync(&daemon).await;
    world.import(0..10).await;
    world.create("news", &format!("audience = \"everyone\"\n{NEWS}")).await;
    let plan = world.run(&["broadcasts", "plan", "news"]).await;
    assert!(plan.contains("1.00 EUR (estimate)"), "{plan}");
    world.run(&["broadcasts", "start", "news"]).await;
    let view = wait_for_state(&daemon, "news", "paused").await;
    assert_eq!(text(&view, "/reason/code"), "over-budget", "{view}");
    daemon.wait_until_idle().await;
    let view = show(&daemon, "news").await;
    assert_eq!((count(&view, "sent"), count(&view, "planned")), (4, 6), "{view}");
    let costs = wait_until("they are charged", async || {
        let costs = daemon.get("costs?by=broadcast").await;
        (costs.pointer("/total/messages") == Some(&json!(4))).then_some(costs)
    })
    .await;
    assert_eq!(text(&costs, "/items/0/key"), format!("news ({})", text(&view, "/id")), "{costs}");
    assert_eq!(text(&costs, "/items/0/estimate"), "0.40", "{costs}");
    daemon.stop().await;
}

#[tokio::test]
async fn replies_and_withdrawals_are_attributed_and_a_follow_up_reaches_the_others() {
    let (world, daemon) = World::new(0, "").await;
    for person in ["Ana", "Bram", "Kadri"] {
        world.simulator.say(person, "hello").await;
        // Contacts are numbered in the order in which they are stored.
        world.simulator.wait_until_delivered().await;
    }
    daemon.wait_until_idle().await;
    for contact in ["con_1", "con_2", "con_3"] {
        let source = ["consents", "record", contact, "marketing:news", "--source", "operator", "--confirmed"];
        world.run(&source).await;
    }
    // Their windows are open, so they get the text, which is free.
    let rest = format!("audience = \"everyone\"\ntext = \"Dear {{first_name|friend}}\"\n{NEWS}");
    world.create("news", &rest).await;
    let plan = world.run(&["broadcasts", "plan", "news"]).await;
    assert!(plan.contains("Dear Ana") && plan.contains("free"), "{plan}");
    world.run(&["broadcasts", "start", "news"]).await;
    wait_for_state(&daemon, "news", "finished").await;
    world.simulator.expect_texts("Ana", &["Dear Ana"]).await;
    world.simulator.say("Ana", "thank you").await;
    world.simulator.say("Bram", "STOP").await;
    daemon.wait_until_idle().await;
    let view = wait_until("the reactions are counted", async || {
        let view = show(&daemon, "news").await;
        (count(&view, "replied") == 2).then_some(view)
    })
    .await;
    assert_eq!(count(&view, "opted_out"), 1, "{view}");
    let follow = "audience = { broadcast = { of = \"news\", recipients = \"unread\" } }\ntext = \"Did you see it?\"\n";
    world.send("again", &format!("{follow}{NEWS}")).await;
    wait_for_state(&daemon, "again", "finished").await;
    let recipients = daemon.list_all("broadcasts/again/recipients").await;
    let states: BTreeSet<(&str, &str)> =
        recipients.iter().map(|row| (text(row, "/contact"), text(row, "/state"))).collect();
    assert!(states.contains(&("con_3", "delivered")) || states.contains(&("con_3", "sent")), "{states:?}");
    assert!(states.contains(&("con_2", "refused")), "{states:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn number_whose_quality_falls_to_red_pauses_it() {
    let (world, daemon) = World::new(60, "[outbox]\nmax_in_flight = 2").await;
    world.simulator.set_faults(json!({ "send_slow": { "probability": 1.0, "ms": 200 } })).await;
    world.send("news", &format!("audience = \"everyone\"\n{NEWS}")).await;
    world.simulator.control("POST", "account", &json!({ "quality": "RED" })).await;
    daemon.post("templates/sync").await;
    let view = wait_for_state(&daemon, "news", "paused").await;
    assert_eq!(text(&view, "/reason/code"), "broadcast-number-quality", "{view}");
    world.simulator.set_faults(json!({ "send_slow": { "probability": 0.0, "ms": 0 } })).await;
    // The operator accepts the quality.
    world.run(&["broadcasts", "resume", "news"]).await;
    let view = wait_for_state(&daemon, "news", "finished").await;
    assert_eq!(count(&view, "sent"), 60, "{view}");
    daemon.stop().await;
}

#[tokio::test]
async fn expired_broadcast_finishes_without_the_rest() {
    let (world, daemon) = World::new(60, "[outbox]\nmax_in_flight = 1").await;
    world.simulator.set_faults(json!({ "send_slow": { "probability": 1.0, "ms": 300 } })).await;
    let past = format!("expires = \"2020-01-01T00:00:00Z\"\naudience = \"everyone\"\n{NEWS}");
    let past = world.write("past", &past);
    let error = world.fails(&["broadcasts", "create", &past, "--by", "Ana"]).await;
    assert!(error.contains("broadcast-invalid") && error.contains("must be in the future"), "{error}");
    let now = time_at(&daemon.get("broadcasts").await, "/now").unwrap();
    let expires = rfc3339(now + 8000);
    world.send("news", &format!("expires = \"{expires}\"\naudience = \"everyone\"\n{NEWS}")).await;
    let view = wait_for_state(&daemon, "news", "finished").await;
    let (sent, expired) = (count(&view, "sent"), refused(&view, "broadcast-expired"));
    assert!(sent > 0 && expired > 0 && sent + expired == 60, "{view}");
    assert_eq!(world.received().await.len() as u64, sent);
    let error = world.fails(&["broadcasts", "resume", "news", "--failed"]).await;
    assert!(error.contains("broadcast-expired"), "{error}");
    daemon.stop().await;
}

#[tokio::test]
async fn template_with_named_variables_has_a_named_header() {
    let (world, daemon) = World::new(2, "").await;
    let named = |kind: &str, text: &str, parameter: &str| {
        let example = format!("{}_named_params", if kind == "HEADER" { "header_text" } else { "body_text" });
        json!({"type": kind, "format": "TEXT", "text": text, "example": {example: [{"param_name": parameter, "example": "x"}]}})
    };
    let template = json!({
        "name": "greeting", "language": "en", "category": "MARKETING", "parameter_format": "NAMED",
        "components": [named("HEADER", "For {{reader}}", "reader"), named("BODY", "News of {{day}}.", "day")],
    });
    world.simulator.graph("POST", &format!("{}/message_templates", webhook::BUSINESS_ID), &template).await;
    wait_until("both templates are approved", async || {
        daemon.post("templates/sync").await;
        let list = daemon.get("templates?status=approved").await;
        (list["items"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    let purpose = "purpose = \"marketing:news\"\naudience = \"everyone\"\n";
    let template =
        |header: &str| format!("{purpose}[template]\nname = \"greeting\"\nbody = {{ day = \"Friday\" }}\n{header}");
    world.create("wrong", &template("header = [\"{first_name|you}\"]")).await;
    let error = world.fails(&["broadcasts", "plan", "wrong"]).await;
    assert!(error.contains("template-parameters"), "{error}");
    world.create("news", &template("header = { reader = \"{first_name|you}\" }")).await;
    let plan = world.run(&["broadcasts", "plan", "news"]).await;
    assert!(plan.contains("For Person") && plan.contains("News of Friday."), "{plan}");
    world.run(&["broadcasts", "start", "news"]).await;
    let view = wait_for_state(&daemon, "news", "finished").await;
    assert_eq!(count(&view, "sent"), 2, "{view}");
    daemon.stop().await;
}

#[tokio::test]
async fn cap_defers_a_broadcast_that_expires_later() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).toml(UNPACED).toml(CONFIG).toml("[gate.marketing_caps]\nper_day = 1");
    let setup = setup.clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    simulator.set_faults(json!({ "template_review_ms": 0, "unknown_numbers": "create" })).await;
    let daemon = setup.start().await;
    let world = World { setup, simulator };
    let body = json!({"type": "BODY", "text": "Hello {{1}}, news!", "example": {"body_text": [["Ana"]]}});
    world.add_template("news", "en", "MARKETING", body).await;
    world.sync(&daemon).await;
    world.import(0..2).await;
    let advance_until = async |name: &str, condition: &dyn Fn(&Value) -> bool| -> Value {
        wait_until(&format!("{name} gets there"), async || {
            world.simulator.advance(1000).await;
            Some(show(&daemon, name).await).filter(condition)
        })
        .await
    };
    let finished = |view: &Value| text(view, "/state") == "finished";
    let news = |expires_ms: i64| format!("expires = \"{}\"\naudience = \"everyone\"\n{NEWS}", rfc3339(expires_ms));
    let now = async || time_at(&daemon.get("broadcasts").await, "/now").unwrap();
    world.send("one", &format!("audience = \"everyone\"\n{NEWS}")).await;
    let view = advance_until("one", &finished).await;
    assert_eq!(count(&view, "sent"), 2, "{view}");
    // The cap is free in 24 hours: too late for one of these, and early enough for the other.
    world.send("soon", &news(now().await + 30 * 3_600_000)).await;
    world.create("past", &news(now().await + 2 * 3_600_000)).await;
    world.run(&["broadcasts", "plan", "past"]).await;
    assert_eq!(refused(&show(&daemon, "past").await, "frequency-cap"), 2);
    let view = advance_until("soon", &|view| count(view, "held") == 2).await;
    let held = &view["codes"][0];
    assert_eq!((text(held, "/state"), text(held, "/code")), ("held", "frequency-cap"), "{view}");
    world.simulator.advance(23 * 3_600_000).await;
    assert_eq!(world.received().await.values().copied().collect::<Vec<_>>(), [1, 1], "not before the cap is free");
    world.simulator.advance(3_600_000).await;
    let view = advance_until("soon", &finished).await;
    assert_eq!(count(&view, "sent"), 2, "{view}");
    assert_eq!(world.received().await.values().copied().collect::<Vec<_>>(), [2, 2]);
    daemon.stop().await;
}

#[tokio::test]
async fn text_for_marketing_counts_for_the_caps() {
    let (world, daemon) = World::new(0, "[gate.marketing_caps]\nper_day = 1").await;
    world.simulator.say("Ana", "hello").await;
    daemon.wait_until_idle().await;
    let source = ["consents", "record", "con_1", "marketing:news", "--source", "operator", "--confirmed"];
    world.run(&source).await;
    let rest = format!("audience = \"everyone\"\ntext = \"Dear {{first_name|friend}}\"\n{NEWS}");
    world.send("news", &rest).await;
    let view = wait_for_state(&daemon, "news", "finished").await;
    assert_eq!(count(&view, "sent"), 1, "{view}");
    world.create("more", &rest).await;
    world.run(&["broadcasts", "plan", "more"]).await;
    let view = show(&daemon, "more").await;
    assert_eq!(refused(&view, "frequency-cap"), 1, "{view}");
    daemon.stop().await;
}
