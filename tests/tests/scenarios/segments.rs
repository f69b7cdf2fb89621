//! Segments and lists: an operator defines them, counts, lists and explains; errors change nothing;
//! plugins ask.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::wait_until;
use serde_json::{Value, json};
use std::process::Output;

const HOUR_MS: i64 = 3_600_000;

const SEGMENTS: &str = r#"
[contacts.attributes]
points = "number"
[segments.vips]
where = '"vip" in tags'
description = "Invited to everything"
[segments.sleepers]
where = 'member && last_inbound < now - duration("2d") && !segment("vips")'
[segments.listed]
where = 'list("friends") && attributes.points >= 3'
"#;

struct World {
    setup: Setup,
    simulator: Simulator,
    daemon: Daemon,
}

impl World {
    /// Ana, Bram and Kadri (con_1 to con_3) wrote; Ana has the tag `vip`, Bram three points.
    async fn new() -> Self {
        let address = SimulatorAddress::reserve();
        let setup = Setup::new(&address.url())
            .plugin("census", "grant = [\"segments\"]")
            .toml(UNPACED)
            .clock(&address.clock_url());
        setup.put_conf("50-segments", SEGMENTS);
        let simulator = address.start_virtual(&setup).await;
        let daemon = setup.start().await;
        let world = Self { setup, simulator, daemon };
        for person in ["Ana", "Bram", "Kadri"] {
            world.say(person, "hello").await;
        }
        world.run(&["contacts", "tag", "con_1", "vip"]).await;
        world.run(&["contacts", "set", "con_2", "--attribute", "points=3"]).await;
        world
    }

    async fn say(&self, person: &str, text: &str) {
        self.simulator.say(person, text).await;
        self.simulator.advance(0).await;
        self.simulator.wait_until_delivered().await;
        self.daemon.wait_for_status(|status| status["events_open"] == 0 && status["sending"] == 0).await;
    }

    /// What a command prints.
    async fn run(&self, words: &[&str]) -> String {
        let output = self.setup.cli(words).await;
        assert!(output.status.success(), "{words:?}: {output:?}");
        stdout(&output)
    }

    /// The error of a command that fails.
    async fn fail(&self, words: &[&str]) -> String {
        let output = self.setup.cli(words).await;
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    async fn members(&self, segment: &str) -> Vec<String> {
        let list = self.daemon.get(&format!("segments/{segment}/members")).await;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| text(item, "/contact").to_owned()).collect()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn operator_counts_lists_and_explains_segments() {
    let world = World::new().await;
    let listed = world.run(&["segments", "list"]).await;
    assert!(listed.contains("\"vip\" in tags") && listed.contains("Invited to everything"), "{listed}");
    assert_eq!(world.run(&["segments", "count", "vips"]).await, "vips: 1 member of 3 people\n");
    assert_eq!(world.members("vips").await, ["con_1"]);
    assert!(world.members("sleepers").await.is_empty());
    // Time alone changes who belongs.
    world.simulator.advance(72 * HOUR_MS).await;
    world.say("Kadri", "still here").await;
    assert_eq!(world.members("sleepers").await, ["con_2"]);

    let explained = world.run(&["segments", "explain", "sleepers", "con_1"]).await;
    for part in [
        "Ana (con_1) does not belong to sleepers.",
        "no  all of",
        "yes   member  [member: since ",
        "yes   last_inbound < now - duration(\"2d\")  [last_inbound: ",
        "(3.0 days ago)",
        "no    not",
        "yes     segment(\"vips\")",
        "yes       \"vip\" in tags  [tags: vip]",
    ] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    let as_json: Value =
        serde_json::from_str(&world.run(&["segments", "explain", "vips", "con_2", "--json"]).await).unwrap();
    assert_eq!((&as_json["member"], &as_json["reason"]["values"][0]["value"]), (&json!(false), &json!("none")));
    let numbers = world.daemon.get("contacts/con_1").await.to_string();
    let number = numbers.split("phone ").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("no number");
    assert!(number.len() > 8 && !explained.contains(number), "{number}");

    let first = world.run(&["segments", "members", "vips", "--limit", "1", "--json"]).await;
    assert!(first.contains("con_1"), "{first}");
    assert!(world.fail(&["segments", "count", "vpis"]).await.contains("error[segment-unknown]"));
    assert!(world.fail(&["segments", "explain", "vips", "con_99"]).await.contains("error[not-found]"));
    world.daemon.stop().await;
}

#[tokio::test]
async fn lists_are_kept_by_command_and_survive_a_restart() {
    let world = World::new().await;
    // A segment that names a list which does not exist is an error, not an empty segment.
    let missing = world.fail(&["segments", "count", "listed"]).await;
    assert!(missing.contains("error[list-unknown]: unknown list `friends` in segment `listed`"), "{missing}");
    let output = world.setup.cli(&["segments", "list"]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("segment listed cannot be used"), "{output:?}");
    world.run(&["lists", "create", "friends", "--description", "Of the house"]).await;
    assert!(world.fail(&["lists", "create", "friends"]).await.contains("error[list-refused]"));
    assert_eq!(
        world.run(&["lists", "add", "friends", "con_1", "con_2", "con_2"]).await,
        "friends: 2 added, 0 removed; 2 members now\n"
    );
    assert_eq!(world.members("listed").await, ["con_2"]);
    assert_eq!(world.run(&["segments", "count", "list:friends"]).await, "list:friends: 2 members of 2 people\n");
    // One unknown person, and nothing changes.
    assert!(world.fail(&["lists", "add", "friends", "con_3", "con_77"]).await.contains("no contact `con_77`"));
    assert_eq!(world.members("list:friends").await, ["con_1", "con_2"]);
    let file = world.setup.config().with_file_name("people.csv");
    std::fs::write(&file, "contact,name\ncon_3,\"Kadri\"\n\n").unwrap();
    let added = world.run(&["lists", "add", "friends", "--file", file.to_str().unwrap(), "--segment", "vips"]).await;
    assert_eq!(added, "friends: 1 added, 0 removed; 3 members now\n");
    std::fs::write(&file, "con_3\n31612345678\n").unwrap();
    let refused = world.fail(&["lists", "add", "friends", "--file", file.to_str().unwrap()]).await;
    assert!(refused.contains("people.csv:2"), "{refused}");
    assert_eq!(
        world.run(&["lists", "remove", "friends", "con_3"]).await,
        "friends: 0 added, 1 removed; 2 members now\n"
    );
    assert!(world.fail(&["lists", "delete", "friends"]).await.contains("is named by `listed`"));
    assert!(world.run(&["lists", "list"]).await.contains("Of the house"));

    let World { setup, simulator, daemon } = world;
    daemon.kill9().await;
    let daemon = setup.start().await;
    let world = World { setup, simulator, daemon };
    let output = world.run(&["lists", "show", "friends"]).await;
    assert!(output.contains("con_1") && output.contains("Bram") && !output.contains("con_3"), "{output}");
    world.run(&["lists", "create", "other"]).await;
    assert_eq!(world.run(&["lists", "delete", "other"]).await, "Deleted list other with 0 members.\n");
    assert!(world.fail(&["lists", "show", "other"]).await.contains("error[not-found]"));
    world.daemon.stop().await;
}

#[tokio::test]
async fn reload_changes_segments_and_a_broken_expression_changes_nothing() {
    let world = World::new().await;
    world.setup.put_conf("50-segments", &SEGMENTS.replace("\"vip\" in tags", "country == \"NL\" || member"));
    let everybody = async || (world.members("vips").await.len() == 3).then_some(());
    wait_until("the segment has changed", everybody).await;

    let broken = SEGMENTS.replace("\"vip\" in tags", "\"vip\" in tgas").replace("points = ", "pionts = ");
    world.setup.put_conf("50-segments", &broken);
    let problem = wait_until("the error is shown", async || {
        let status = world.daemon.status().await;
        let problems = status["problems"].as_array().cloned().unwrap_or_default();
        problems.into_iter().find(|problem| text(problem, "/code") == "config-segment")
    });
    let message = text(&problem.await, "/message").to_owned();
    for part in [
        "50-segments.toml:5",
        "unknown name `tgas`",
        "did you mean `tags`?",
        "50-segments.toml:10",
        "attribute `points` is not declared",
        "did you mean `pionts`?",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(world.members("vips").await.len(), 3);
    let config = world.setup.config();
    let checked = world.setup.cli(&["check", "--config", config.to_str().unwrap()]).await;
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");
    assert!(String::from_utf8_lossy(&checked.stderr).contains("^^^^ does not exist"), "{checked:?}");

    world.setup.put_conf("50-segments", SEGMENTS);
    wait_until("the first segment is back", async || (world.members("vips").await == ["con_1"]).then_some(())).await;
    world.daemon.stop().await;
}

#[tokio::test]
async fn plugin_asks_who_belongs_to_a_segment() {
    let world = World::new().await;
    world.run(&["lists", "create", "friends"]).await;
    world.run(&["lists", "add", "friends", "con_2", "con_3"]).await;
    for (command, reply) in [
        ("belongs con_1 vips", "true"),
        ("belongs con_2 vips", "false"),
        ("belongs con_3 list:friends", "true"),
        ("belongs con_77 vips", "unknown-contact"),
        ("belongs con_1 nothing", "segment-unknown"),
        ("members list:friends", "con_2 con_3"),
        ("members vips", "con_1"),
        ("members list:foes", "list-unknown"),
    ] {
        world.say("Kadri", command).await;
        let texts = world.simulator.texts("Kadri").await;
        let last = texts.last().cloned().unwrap_or_default();
        assert!(last.starts_with(reply), "{command}: {last}");
    }
    world.daemon.stop().await;
}
