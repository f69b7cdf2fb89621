//! Costs: what the platform's receipts say becomes one charge, and budgets stop what would cost
//! more.

use crate::UNPACED;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::{wait_until, webhook};
use serde_json::{Value, json};

const HOUR_MS: i64 = 3_600_000;
/// 2026-11-06T12:00:00Z, a Friday.
const FRIDAY_NOON: i64 = 1_793_966_400_000;

const RATES: &str = r#"
currency = "EUR"
free_service_messages = 1000
[[lists]]
from = "2026-01-01"
source = "a scenario"
[[lists.markets]]
countries = ["NL", "US", "DE", "EE", "PT", "BR", "GB"]
marketing = 0.10
utility = 0.04
"#;

struct World {
    setup: Setup,
    simulator: Simulator,
    daemon: Daemon,
}

impl World {
    async fn new(toml: &str) -> Self {
        let address = SimulatorAddress::reserve();
        let setup = Setup::new(&address.url())
            .plugin("messenger", "grant = [\"messages\"]")
            .toml(UNPACED)
            .toml("[costs]\nrates = \"rates.toml\"")
            .toml(toml)
            .clock(&address.clock_url());
        std::fs::write(setup.config().with_file_name("rates.toml"), RATES).unwrap();
        let simulator = address.start_virtual(&setup).await;
        simulator.control("POST", "clock", &json!({ "set_ms": FRIDAY_NOON })).await;
        simulator.set_faults(json!({ "template_review_ms": 0 })).await;
        let daemon = setup.start().await;
        for (name, category) in [("news", "MARKETING"), ("order", "UTILITY")] {
            let components = json!([{"type": "BODY", "text": "Something to read"}]);
            let template = json!({"name": name, "language": "en", "category": category, "components": components});
            simulator.graph("POST", &format!("{}/message_templates", webhook::BUSINESS_ID), &template).await;
        }
        // The daemon takes the webhooks about the templates, so virtual time moves only while it
        // runs.
        simulator.advance(1000).await;
        let world = Self { setup, simulator, daemon };
        let synced = world.daemon.post("templates/sync").await;
        assert_eq!(synced.status, 200, "{}", synced.text());
        for (person, id) in [("Ana", "con_1"), ("Bram", "con_2")] {
            world.say(person, "hello").await;
            let words = ["consents", "record", id, "marketing", "--source", "operator", "--confirmed"];
            let output = world.setup.cli(&words).await;
            assert!(output.status.success(), "{output:?}");
        }
        world
    }

    async fn settle(&self) {
        self.simulator.advance(0).await;
        self.simulator.wait_until_delivered().await;
        self.daemon.wait_for_status(|status| status["events_open"] == 0 && status["sending"] == 0).await;
    }

    async fn say(&self, person: &str, text: &str) {
        self.simulator.say(person, text).await;
        self.settle().await;
    }

    async fn costs(&self, query: &str) -> Value {
        self.daemon.get(&format!("costs{query}")).await
    }

    /// Messages and the estimate of each row.
    async fn rows(&self, by: &str) -> Vec<(String, u64, String)> {
        let costs = self.costs(&format!("?by={by}")).await;
        let items = costs["items"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        items
            .iter()
            .map(|item| (text(&item["key"]), item["messages"].as_u64().unwrap(), text(&item["estimate"])))
            .collect()
    }

    /// The number of templates that a person received.
    async fn received(&self, person: &str) -> usize {
        let messages = self.simulator.messages(Some(person)).await;
        messages.iter().filter(|message| message.pointer("/body/name").is_some()).count()
    }
}

/// People read at once, and this share of receipts and webhooks comes twice, or late.
fn faults(probability: f64) -> Value {
    let often = json!({ "probability": probability });
    json!({ "auto_read": true, "template_review_ms": 0, "receipt_duplicated": often, "receipt_reordered": often,
        "webhook_duplicated": often, "webhook_rebatched": often })
}

fn row(key: &str, messages: u64, estimate: &str) -> (String, u64, String) {
    (key.to_owned(), messages, estimate.to_owned())
}

#[tokio::test]
async fn receipts_become_one_charge_each_whatever_the_webhooks_do() {
    let world = World::new("").await;
    world.simulator.set_faults(faults(0.5)).await;
    world.say("Ana", "template news en").await;
    world.say("Ana", "template order en").await;
    world.say("Bram", "template news en").await;
    // A reply, which is one of the free service messages of the month.
    world.say("Bram", "allowed").await;
    let rows = vec![row("marketing", 2, "0.20"), row("service", 1, "0.00"), row("utility", 1, "0.04")];
    wait_until("all is charged", async || (world.rows("category").await == rows).then_some(())).await;
    assert_eq!(world.rows("plugin").await, [row("messenger", 4, "0.24")]);
    assert_eq!(world.rows("day").await, [row("2026-11-06", 4, "0.24")]);
    let costs = world.costs("").await;
    assert_eq!(costs["total"]["free"], 1, "{costs}");
    assert_eq!(costs.pointer("/free_service/0/used"), Some(&json!(1)), "{costs}");
    assert_eq!(costs["pending"]["messages"], 0, "{costs}");
    let metrics = world.daemon.try_get("/metrics").await.unwrap().text();
    for line in
        ["beadle_priced_messages_total{category=\"marketing\"} 2", "beadle_month_cost_estimate{currency=\"EUR\"} 0.24"]
    {
        assert!(metrics.contains(line), "{metrics}");
    }

    // After a kill nothing is charged again, however often the platform repeats it.
    let World { setup, simulator, daemon } = world;
    daemon.kill9().await;
    let daemon = setup.start().await;
    let world = World { setup, simulator, daemon };
    world.simulator.set_faults(faults(0.0)).await;
    world.say("Ana", "template news en").await;
    wait_until("it is charged", async || (world.rows("channel").await[0].1 == 5).then_some(())).await;
    world.settle().await;
    assert_eq!(
        world.rows("category").await,
        [row("marketing", 3, "0.30"), row("service", 1, "0.00"), row("utility", 1, "0.04")]
    );
    let output = world.setup.cli(&["costs", "--by", "country"]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("0.34"), "{output:?}");
    for (query, code) in [("?from=yesterday", 400), ("?from=2026-11-07&to=2026-11-06", 400), ("?by=mood", 400)] {
        assert_eq!(world.daemon.try_get(&format!("/api/v1/costs{query}")).await.unwrap().status, code, "{query}");
    }
    world.daemon.stop().await;
}

#[tokio::test]
async fn budget_warns_then_refuses_templates_and_never_replies() {
    let budget =
        "[[budgets]]\nname = \"news\"\nplugin = \"messenger\"\nperiod = \"day\"\namount = 0.5\ncurrency = \"EUR\"";
    let world = World::new(budget).await;
    for _ in 0..4 {
        world.say("Ana", "template news en").await;
    }
    let status = world.daemon.get("status").await.to_string();
    assert!(status.contains("budget-nearly-used") && status.contains("0.40 of 0.50 EUR per day"), "{status}");
    world.say("Ana", "template news en").await;
    assert_eq!(world.received("Ana").await, 5);
    world.say("Ana", "template news en").await;
    let reply = world.simulator.texts("Ana").await.pop().unwrap_or_default();
    assert_eq!(
        reply,
        "over-budget: Budget `news` allows 0.50 EUR per day; 0.50 are used, and the message would cost 0.10."
    );
    assert_eq!(world.received("Ana").await, 5);
    assert!(world.daemon.get("status").await.to_string().contains("over-budget"));
    let budgets = world.costs("").await["budgets"].clone();
    assert_eq!((&budgets[0]["state"], &budgets[0]["percent"]), (&json!("used-up"), &json!(100)), "{budgets}");

    // The next day there is a new one.
    world.simulator.advance(24 * HOUR_MS).await;
    world.say("Ana", "template news en").await;
    assert_eq!(world.received("Ana").await, 6);
    world.daemon.stop().await;
}

#[tokio::test]
async fn deferred_message_leaves_when_the_next_period_begins() {
    let budget =
        "[[budgets]]\nname = \"news\"\nperiod = \"day\"\namount = 0.1\ncurrency = \"EUR\"\nwhen_used_up = \"defer\"";
    let world = World::new(budget).await;
    for _ in 0..3 {
        world.say("Ana", "template news en").await;
    }
    let queued = world.daemon.wait_for_status(|status| status["queued"] == 2).await;
    assert_eq!(world.received("Ana").await, 1, "{queued}");
    for day in 2..4 {
        world.simulator.advance(24 * HOUR_MS).await;
        wait_until("the next one arrives", async || (world.received("Ana").await == day).then_some(())).await;
        world.settle().await;
    }
    assert_eq!(world.rows("day").await.len(), 3);
    world.daemon.stop().await;
}
