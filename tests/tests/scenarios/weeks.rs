//! Seeded weeks: people write, agree, withdraw, stop, leave and come back; templates are paused and
//! recategorised; the operator bans people, broadcasts, and sets caps, quiet hours and a budget;
//! the number may write to few people first; the daemon is killed. The platform enforces all of its
//! rules. At the end it has refused nothing for a reason that the gate could have known, and nobody
//! got what they did not agree to.
//!
//! Time is the simulator's, and webhooks are taken before the next thing happens: what is on its
//! way cannot be known.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::rng::{Rng, is_long_run};
use beadle_test_support::simulator::{Simulator, SimulatorAddress, text_of};
use beadle_test_support::{rfc3339, wait_until, webhook};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// 2026-03-27T12:00:00Z, a Friday.
const FRIDAY_NOON: i64 = 1_774_612_800_000;
const PEOPLE: [(&str, &str); 6] = [
    ("Ana", "+31600000001"),
    ("Bram", "+31600000002"),
    ("Cleo", "+4915100000003"),
    ("Dana", "+351910000004"),
    ("Emil", "+3725000005"),
    // WhatsApp delivers no marketing there.
    ("Fay", "+12125550106"),
];
/// Fewer than there are people.
const MESSAGING_LIMIT: u32 = 3;

const SETTINGS: &str = r#"
[keywords]
language = "en"
brand = "The Club"
[gate.quiet_hours]
from = "21:00"
to = "08:00"
[gate.marketing_caps]
per_day = 2
topic_per_week = 4
[broadcasts]
min_messages = 1000
[costs]
rates = "rates.toml"
[[budgets]]
name = "all"
period = "day"
amount = 0.60
currency = "EUR"
when_used_up = "defer"
"#;
const RATES: &str = "currency = \"EUR\"\n[[lists]]\nfrom = \"2020-01-01\"\nsource = \"a scenario\"\n\
                     [[lists.markets]]\ncountries = [\"NL\", \"DE\", \"PT\", \"EE\", \"US\"]\nmarketing = 0.10\nutility = 0.05\n";

fn steps() -> usize {
    if is_long_run() { 1500 } else { 250 }
}

/// What a person agreed to, from what they and the operator did, not from Beadle's view.
#[derive(Clone, Debug, Default)]
struct Agreed {
    marketing: bool,
    cats: bool,
    survey: bool,
    group: bool,
    has_stopped: bool,
    /// By WhatsApp's own preference.
    has_stopped_marketing: bool,
    is_banned: bool,
}

impl Agreed {
    fn record(&mut self, purpose: &str, is_granted: bool) {
        match purpose {
            "marketing" => (self.marketing, self.cats) = (is_granted, is_granted),
            "marketing:cats" => self.cats = is_granted,
            "survey" => self.survey = is_granted,
            _ => self.group = is_granted,
        }
    }

    /// Whether a message may have been sent to them.
    fn allows(&self, message: &str, is_order_marketing: bool) -> bool {
        let is_own = !["news", "order", "survey", "Buy", "A cat", "Cats", "How", "We meet", "Your order", "A reward"]
            .iter()
            .any(|start| message.starts_with(start));
        let agreed = match message {
            "order" if is_order_marketing => (self.marketing || self.cats) && !self.has_stopped_marketing,
            // With the topic or without.
            "news" => (self.marketing || self.cats) && !self.has_stopped_marketing,
            "Buy something" => self.marketing && !self.has_stopped_marketing,
            "How was it?" => self.survey,
            "We meet on Friday" => self.group,
            _ if message.starts_with("A cat") || message.starts_with("Cats") => {
                self.cats && !self.has_stopped_marketing
            }
            _ => true,
        };
        // Beadle answers STOP and banned people too.
        is_own || (agreed && !self.has_stopped && !self.is_banned)
    }
}

struct Weeks {
    setup: Setup,
    simulator: Simulator,
    daemon: Daemon,
    rng: Rng,
    broadcasts: usize,
    agreed: BTreeMap<&'static str, Agreed>,
    is_order_marketing: bool,
    /// Messages that were compared with that.
    compared: usize,
    /// The caps of WhatsApp's own (131049) that were made to occur.
    capped: usize,
}

impl Weeks {
    async fn begin(rng: Rng) -> Self {
        let address = SimulatorAddress::reserve();
        let setup = Setup::new(&address.url())
            .plugin("messenger", "grant = [\"messages\"]")
            .toml(UNPACED)
            .toml(SETTINGS)
            .clock(&address.clock_url());
        std::fs::write(setup.config().with_file_name("rates.toml"), RATES).unwrap();
        let simulator = address.start_virtual(&setup).await;
        simulator.control("POST", "clock", &json!({ "set_ms": FRIDAY_NOON })).await;
        simulator
            .set_faults(json!({
                "template_review_ms": 0, "pair_rate": true, "throughput_per_second": 80,
                "messaging_limit": MESSAGING_LIMIT,
            }))
            .await;
        let daemon = setup.start().await;
        for (name, category) in [("news", "MARKETING"), ("order", "UTILITY"), ("survey", "UTILITY")] {
            let body = json!({"type": "BODY", "text": format!("This is about {name}")});
            let template = json!({"name": name, "language": "en", "category": category, "components": [body]});
            simulator.graph("POST", &format!("{}/message_templates", webhook::BUSINESS_ID), &template).await;
        }
        let weeks = Self {
            setup,
            simulator,
            daemon,
            rng,
            broadcasts: 0,
            agreed: PEOPLE
                .iter()
                .map(|(name, _)| (*name, Agreed { marketing: true, cats: true, group: true, ..Agreed::default() }))
                .collect(),
            is_order_marketing: false,
            compared: 0,
            capped: 0,
        };
        weeks.advance(1000).await;
        assert_eq!(weeks.daemon.post("templates/sync").await.status, 200);
        for (n, (name, number)) in (1..).zip(PEOPLE) {
            weeks.simulator.add_person(name, number).await;
            weeks.say(name, "hello").await;
            let id = format!("con_{n}");
            weeks.run(&["consents", "record", &id, "marketing", "--source", "operator", "--confirmed"]).await;
        }
        weeks
    }

    /// Moves the clock, and waits for what follows. Messages that a check defers stay queued.
    async fn advance(&self, ms: i64) {
        self.simulator.advance(ms).await;
        for _ in 0..2 {
            self.simulator.wait_until_idle().await;
            let is_zero = |status: &Value, name: &str| status.get(name).and_then(Value::as_i64) == Some(0);
            self.daemon
                .wait_for_status(|status| ["events_open", "sending"].iter().all(|name| is_zero(status, name)))
                .await;
        }
    }

    async fn say(&self, person: &str, text: &str) {
        self.simulator.say(person, text).await;
        self.advance(0).await;
    }

    async fn run(&self, arguments: &[&str]) {
        let output = self.setup.cli(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.rng.below(end as u64)).unwrap()
    }

    fn choose<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn person(&mut self) -> (&'static str, String) {
        let at = self.below(PEOPLE.len());
        (PEOPLE[at].0, format!("con_{}", at + 1))
    }

    /// One thing happens. Returns it in words.
    async fn step(mut self) -> (Self, String) {
        let (name, id) = self.person();
        let what = match self.below(20) {
            0..=1 => {
                self.say(name, "hello").await;
                format!("{name} writes")
            }
            2..=6 => {
                let command = self.command();
                self.say(name, &command).await;
                format!("{name}: {command}")
            }
            // People who are written to later, when their window may be closed.
            7..=10 => {
                let minutes = 1 + self.below(3 * 24 * 60);
                let command = format!("in {minutes} {}", self.command());
                self.say(name, &command).await;
                format!("{name}: {command}")
            }
            11 => {
                let word = self.choose(&["STOP", "START", "START", "LEAVE", "JOIN"]);
                let agreed = self.agreed.get_mut(name).unwrap();
                match word {
                    "STOP" => {
                        let is_banned = agreed.is_banned;
                        let has_stopped_marketing = agreed.has_stopped_marketing;
                        *agreed = Agreed { has_stopped: true, is_banned, has_stopped_marketing, ..Agreed::default() };
                    }
                    "START" => (agreed.has_stopped, agreed.group) = (false, true),
                    "JOIN" => agreed.group = true,
                    _ => {}
                }
                self.say(name, word).await;
                format!("{name}: {word}")
            }
            12..=13 => {
                let purpose = self.choose(&["marketing", "marketing:cats", "survey", "group"]);
                // After STOP nothing that is reported counts; after a withdrawal only what is
                // later.
                let now = rfc3339(self.simulator.now().await);
                let record = ["consents", "record", &id, purpose, "--source", "operator", "--confirmed", "--at", &now];
                let output = self.setup.cli(&record).await;
                assert_eq!(output.status.success(), !self.agreed[name].has_stopped, "{record:?}: {output:?}");
                if output.status.success() {
                    self.agreed.get_mut(name).unwrap().record(purpose, true);
                }
                format!("{name} agrees to {purpose}")
            }
            14 => {
                let purpose = self.choose(&["marketing", "marketing:cats", "survey"]);
                self.run(&["consents", "withdraw", &id, purpose]).await;
                self.agreed.get_mut(name).unwrap().record(purpose, false);
                format!("{name} withdraws {purpose}")
            }
            15 => {
                let preference = self.choose(&["stop", "resume", "resume"]);
                let person = self.simulator.id_of(name).await;
                self.simulator.control("POST", "marketing", &json!({"person": person, "value": preference})).await;
                let agreed = self.agreed.get_mut(name).unwrap();
                agreed.has_stopped_marketing = preference == "stop";
                agreed.record("marketing", preference == "resume");
                self.advance(0).await;
                format!("{name}: marketing {preference}")
            }
            16 => {
                let role = self.choose(&["banned", "member", "member", "member"]);
                self.run(&["contacts", "set", &id, "--role", role]).await;
                self.agreed.get_mut(name).unwrap().is_banned = role == "banned";
                format!("{name} becomes {role}")
            }
            17 => self.change_template().await,
            18 => self.broadcast().await,
            _ => {
                self.simulator.set_faults(json!({ "marketing_capped": { "next": 1 } })).await;
                self.capped += 1;
                "WhatsApp caps marketing".to_owned()
            }
        };
        let pause = match self.below(8) {
            0..=4 => 10_000 + i64::try_from(self.below(600_000)).unwrap(),
            5..=6 => i64::try_from(self.below(5)).unwrap() * HOUR_MS,
            _ => i64::try_from(self.below(30)).unwrap() * HOUR_MS,
        };
        // The pair rate and the throughput of the platform are counted in its time.
        self.advance(pause.max(10_000)).await;
        if self.below(25) == 0 {
            self.daemon.kill9().await;
            self.daemon = self.setup.start().await;
        }
        (self, what)
    }

    /// Something that the plugin is asked to send.
    fn command(&mut self) -> String {
        let key = self.below(1000);
        let command = self.choose(&[
            "template news en",
            "template order en",
            "template survey en",
            "topic cats news en",
            "for marketing Buy something",
            "for marketing:cats A cat",
            "for survey How was it?",
            "for group We meet on Friday",
            "for service Your order is ready",
            "once",
        ]);
        if command == "once" { format!("once key-{key} A reward") } else { command.to_owned() }
    }

    async fn change_template(&mut self) -> String {
        let name = self.choose(&["news", "order", "survey"]);
        let change = match self.below(6) {
            0 => json!({"name": name, "event": "pause"}),
            1 => json!({"name": name, "event": "disable"}),
            2 => json!({"name": "order", "category": "MARKETING"}),
            3 => json!({"name": "order", "category": "UTILITY"}),
            _ => json!({"name": name, "event": "approve"}),
        };
        if let Some(category) = change["category"].as_str() {
            self.is_order_marketing = category == "MARKETING";
        }
        self.simulator.control("POST", "templates", &change).await;
        self.advance(0).await;
        format!("template {change}")
    }

    async fn broadcast(&mut self) -> String {
        self.broadcasts += 1;
        let name = format!("news-{}", self.broadcasts);
        let message = self.choose(&[
            "purpose = \"marketing:cats\"\ntemplate.name = \"news\"\ntext = \"Cats, {first_name|friend}\"",
            "purpose = \"marketing\"\ntemplate.name = \"news\"",
            "purpose = \"survey\"\ntemplate.name = \"survey\"\ntext = \"How was it?\"",
            "purpose = \"service\"\ntemplate.name = \"order\"",
        ]);
        let file = self.setup.data().join(format!("{name}.toml"));
        std::fs::write(&file, format!("name = \"{name}\"\naudience = \"everyone\"\n{message}\n")).unwrap();
        self.run(&["broadcasts", "create", &file.to_string_lossy(), "--by", "Ana"]).await;
        // A template that is paused or of another category is a reason not to plan it.
        let planned = self.setup.cli(&["broadcasts", "plan", &name]).await;
        if planned.status.success() {
            self.setup.cli(&["broadcasts", "start", &name]).await;
        }
        self.advance(0).await;
        format!("broadcast {}", message.lines().next().unwrap_or_default())
    }

    /// Compares what was sent since the last time with what people agreed to.
    async fn compare(&mut self) {
        let messages = self.simulator.messages(None).await;
        for message in &messages[self.compared..] {
            let (name, _) = PEOPLE
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(text(message, "/person")))
                .unwrap_or_else(|| panic!("{message}"));
            let sent = message.pointer("/body/name").and_then(Value::as_str).map(str::to_owned);
            let sent = sent.or_else(|| text_of(message)).unwrap_or_default();
            let agreed = &self.agreed[name];
            if !agreed.allows(&sent, self.is_order_marketing) {
                let why = self.setup.cli(&["why", text(message, "/id")]).await;
                let at = PEOPLE.iter().position(|(known, _)| known == name).unwrap();
                let consents = self.setup.cli(&["consents", "show", &format!("con_{}", at + 1)]).await;
                let [why, consents] =
                    [why, consents].map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
                panic!("`{sent}` to {name}: {agreed:?}\n{why}\n{consents}");
            }
        }
        self.compared = messages.len();
    }

    /// What the platform refused, at once or later: by code.
    async fn refused(&self) -> BTreeMap<String, u64> {
        let state = self.simulator.control("GET", "messages?limit=0", &Value::Null).await;
        let counts = state.pointer("/counts/refused").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut refused: BTreeMap<String, u64> =
            counts.into_iter().map(|(code, count)| (code, count.as_u64().unwrap_or(0))).collect();
        for message in self.simulator.messages(None).await {
            if text(&message, "/state") == "failed" {
                *refused.entry(message["error"].to_string()).or_default() += 1;
            }
        }
        refused
    }
}

#[tokio::test]
async fn platform_refuses_nothing_that_the_gate_could_have_known() {
    let mut weeks = Weeks::begin(Rng::seeded()).await;
    let mut seen = BTreeMap::new();
    for step in 0..steps() {
        let (next, what) = weeks.step().await;
        weeks = next;
        eprintln!("step {step}, until {}: {what}", rfc3339(weeks.simulator.now().await));
        weeks.compare().await;
        let refused = weeks.refused().await;
        if refused != seen {
            eprintln!("the platform has refused {refused:?}");
            seen = refused;
        }
        // WhatsApp's own caps are not published: the first refusal is news.
        let unknowable = seen.get("131049").copied().unwrap_or(0);
        assert!(unknowable <= weeks.capped as u64, "after step {step}, {what}: {seen:?}");
        assert!(seen.keys().all(|code| code == "131049"), "after step {step}, {what}: {seen:?}");
    }
    weeks.advance(72 * HOUR_MS).await;
    weeks.compare().await;
    let refused = weeks.refused().await;
    assert!(refused.keys().all(|code| code == "131049"), "{refused:?}");
    // What was sent, and why the rest was not: the plugin tells the person what the gate said.
    let (mut sent, mut refused): (BTreeMap<String, usize>, BTreeMap<String, usize>) = Default::default();
    for message in weeks.simulator.messages(None).await {
        let code = text_of(&message).and_then(|text| Some(text.split_once(": ")?.0.to_owned()));
        if let Some(code) = code.filter(|code| code.contains('-')) {
            *refused.entry(code).or_default() += 1;
            continue;
        }
        let kind = message.pointer("/body/name").or_else(|| message.get("type")).unwrap_or(&Value::Null);
        *sent.entry(kind.as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let mut stopped: BTreeMap<String, usize> = BTreeMap::new();
    for row in weeks.daemon.list_all("outbox?state=failed").await {
        *stopped.entry(text(&row, "/problem/code").to_owned()).or_default() += 1;
    }
    eprintln!("sent: {sent:?}\nrefused: {refused:?}\nstopped when about to leave: {stopped:?}");
    let is_varied = ["text", "news"].iter().all(|kind| sent.contains_key(*kind));
    assert!(is_varied && sent.values().sum::<usize>() > 30, "too little happened: {sent:?}");
    wait_until("the ledger is verified", async || {
        let verified = weeks.setup.cli(&["consents", "verify"]).await;
        verified.status.success().then_some(())
    })
    .await;
    weeks.daemon.stop().await;
}
