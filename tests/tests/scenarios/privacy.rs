//! Copies of data and erasures, with the real programs: an operator's export, a person's copy in
//! the chat, and that no data of an erased person is left.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::{rng::Rng, time_at, wait_until};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const BRAND: &str = "[keywords]\nbrand = \"De Buurt\"";
/// A number and a name that occur nowhere else.
const NUMBER: &str = "31687654321";
const NAME: &str = "Wilhelmina";
const SECRET: &str = "the key is under the mat";

struct World {
    setup: Setup,
    simulator: Simulator,
    daemon: Daemon,
}

impl World {
    async fn start() -> Self {
        let address = SimulatorAddress::reserve();
        let grant = "grant = [\"contacts-identity\"]";
        let setup = Setup::new(&address.url()).plugin("guestbook", grant).toml(UNPACED).toml(BRAND);
        let daemon = setup.start().await;
        let simulator = address.start(&setup).await;
        simulator.add_person(NAME, NUMBER).await;
        Self { setup, simulator, daemon }
    }

    /// Wilhelmina and Bram write.
    async fn chat(&self) {
        for (person, texts) in [(NAME, ["hello there", SECRET]), ("Bram", ["hi", "what a nice book"])] {
            for message in texts {
                self.simulator.say(person, message).await;
            }
            let count = texts.len();
            self.wait_for_texts(person, count).await;
        }
        self.settle().await;
    }

    async fn settle(&self) {
        self.simulator.wait_until_delivered().await;
        self.daemon.wait_until_idle().await;
    }

    async fn wait_for_texts(&self, person: &str, count: usize) -> Vec<String> {
        wait_until(&format!("{person} has {count} texts"), async || {
            Some(self.simulator.texts(person).await).filter(|texts| texts.len() >= count)
        })
        .await
    }

    async fn cli(&self, arguments: &[&str]) -> (bool, String, String) {
        let output = self.setup.cli(arguments).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let (done, out, error) = self.cli(arguments).await;
        assert!(done, "{arguments:?}: {out} {error}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }

    async fn wait_for_phase(&self, erasure: &str, phase: &str) -> Value {
        wait_until(&format!("erasure {erasure} is {phase}"), async || {
            // The person's message that asks for it may not have been handled yet.
            let (_, out, _) = self.cli(&["erasures", "show", erasure, "--json"]).await;
            serde_json::from_str::<Value>(&out).ok().filter(|view| text(view, "/phase") == phase)
        })
        .await
    }

    /// The files in the data directory that still contain data of the person.
    fn traces(&self) -> Vec<String> {
        let mut found = Vec::new();
        search(&self.setup.data(), &mut found);
        found
    }
}

fn search(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            search(&path, found);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        for trace in [NUMBER, NAME, SECRET, "hello there"] {
            if bytes.windows(trace.len()).any(|window| window == trace.as_bytes()) {
                found.push(format!("`{trace}` in {}", path.display()));
            }
        }
    }
}

#[tokio::test]
async fn export_contains_what_the_person_wrote_and_what_plugins_keep() {
    let world = World::start().await;
    world.chat().await;
    world.simulator.say(NAME, "number").await;
    let texts = world.wait_for_texts(NAME, 3).await;
    assert_eq!(texts.last().map(String::as_str), Some(format!("{NUMBER} is con_1").as_str()), "it is granted");
    let news = world.setup.data().join("news.toml");
    std::fs::write(
        &news,
        "name = \"news\"\npurpose = \"service\"\naudience = \"everyone\"\ntext = \"Dear {first_name|friend}\"\n",
    )
    .unwrap();
    let file = news.to_string_lossy().into_owned();
    for arguments in [
        &["lists", "create", "friends"][..],
        &["lists", "add", "friends", "con_1"],
        &["broadcasts", "create", &file, "--by", "Ana"],
        &["broadcasts", "plan", "news"],
    ] {
        let (done, output, error) = world.cli(arguments).await;
        assert!(done, "{arguments:?}: {output} {error}");
    }
    let json = world.setup.data().join("data.json");
    let (done, output, error) = world.cli(&["contacts", "export", "con_1", "--output", &json.to_string_lossy()]).await;
    assert!(done, "{output} {error}");
    assert_eq!(std::fs::metadata(&json).unwrap().permissions().mode() & 0o777, 0o600);
    let data: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(text(&data, "/profile/0/name"), NAME);
    let all = data.to_string();
    for part in [NUMBER, "hello there", SECRET, "written: hello there", "service", "accepted"] {
        assert!(all.contains(part), "{part} is missing in {all}");
    }
    assert!(!all.contains("nice book"), "what others wrote is not theirs");
    let written = data.pointer("/plugins/0/data/written").and_then(Value::as_array).cloned().unwrap_or_default();
    assert_eq!(written, ["hello there", SECRET], "what the plugin keeps in state of its own");
    assert!(data.pointer("/stored").and_then(Value::as_array).is_some_and(|values| values.len() == 2), "{data}");
    assert!(data.pointer("/timers").and_then(Value::as_array).is_some_and(|timers| timers.len() == 1), "{data}");

    assert_eq!((text(&data, "/lists/0/list"), text(&data, "/broadcasts/0/name")), ("friends", "news"), "{data}");

    let html = world.setup.data().join("data.html");
    assert!(world.cli(&["contacts", "export", "con_1", "--output", &html.to_string_lossy()]).await.0);
    let page = std::fs::read_to_string(&html).unwrap();
    for part in ["<!DOCTYPE html>", NAME, SECRET, "written: hello there", "guestbook"] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(!page.contains("<script") && !page.contains("src="), "it loads nothing");
    let (done, _, error) = world.cli(&["contacts", "export", "con_99"]).await;
    assert!(!done && error.contains("not-found"), "{error}");
    world.daemon.stop().await;
}

#[tokio::test]
async fn nothing_is_left_of_an_erased_person() {
    let world = World::start().await;
    world.chat().await;
    let file = world.simulator.upload("text/plain", SECRET.as_bytes()).await;
    let document = serde_json::json!({ "type": "document", "document": { "id": file, "filename": "plan.txt" } });
    world.simulator.say_message(NAME, document).await;
    wait_until("the file is stored", async || {
        let media = world.setup.data().join("media");
        let mut found = Vec::new();
        if media.exists() {
            search(&media, &mut found);
        }
        (!found.is_empty()).then_some(())
    })
    .await;
    world.settle().await;
    assert!(!world.traces().is_empty());
    let (done, _, error) = world.cli(&["contacts", "erase", "con_1"]).await;
    assert!(!done && error.contains("--yes"), "nobody is at a terminal: {error}");
    let (done, output, error) = world.cli(&["contacts", "erase", "con_1", "--yes"]).await;
    assert!(done && output.contains("Erasure 1 of con_1"), "{output} {error}");
    let receipt = world.wait_for_phase("1", "done").await;
    assert_eq!(world.traces(), Vec::<String>::new());
    assert_eq!(text(&receipt, "/plugins/0/state"), "done", "{receipt}");
    let count = |name: &str| receipt.pointer(&format!("/erased/{name}")).and_then(Value::as_u64).unwrap_or(0);
    for name in ["events", "messages", "values", "timers", "files", "consents", "identities"] {
        assert!(count(name) > 0, "{name}: {receipt}");
    }
    let (done, output, _) = world.cli(&["consents", "verify"]).await;
    assert!(done && output.contains("all intact") && output.contains("erased"), "{output}");
    assert!(!world.cli(&["contacts", "show", "con_1"]).await.0);
    let entries = world.daemon.get("plugins/guestbook/state").await.to_string();
    assert!(entries.contains("nice book") && !entries.contains(SECRET), "the plugin kept the others: {entries}");
    for arguments in [&["erasures", "list"][..], &["erasures", "show", "1"], &["events", "list"], &["why", "con_1"]] {
        let (_, out, error) = world.cli(arguments).await;
        assert!(!format!("{out}{error}").contains(NUMBER), "{arguments:?}: {out}");
    }
    // A person who writes again is a new person; other people are not affected.
    world.simulator.say(NAME, "me again").await;
    let texts = world.wait_for_texts(NAME, 3).await;
    assert_eq!(texts.last().map(String::as_str), Some("written: me again"));
    assert!(world.cli(&["contacts", "show", "con_3"]).await.0);
    world.daemon.stop().await;
}

#[tokio::test]
async fn a_plugin_that_fails_is_called_again_every_ten_minutes() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("guestbook", "grant = [\"contacts-identity\"]").toml(UNPACED);
    let setup = setup.toml(BRAND).clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    simulator.add_person(NAME, NUMBER).await;
    let world = World { setup, simulator, daemon };
    for (person, message) in [(NAME, "hello there"), ("Bram", "break")] {
        world.simulator.say(person, message).await;
        world.simulator.advance(1000).await;
        world.wait_for_texts(person, 1).await;
    }
    assert!(world.cli(&["contacts", "erase", "con_1", "--yes"]).await.0);
    let failed_after = async |before: i64| {
        wait_until("the plugin has failed", async || {
            let view = world.json(&["erasures", "show", "1", "--json"]).await;
            let letters = world.daemon.list_all("dead-letters").await;
            let at = letters.first().and_then(|letter| time_at(letter, "/given_up_at"));
            at.filter(|at| *at > before && text(&view, "/plugins/0/state") == "failed")
        })
        .await
    };
    let first = failed_after(0).await;
    for minutes in [9, 2] {
        world.simulator.advance(minutes * 60_000).await;
    }
    let second = failed_after(first).await;
    assert!((10 * 60_000..12 * 60_000).contains(&(second - first)), "it failed again {} ms later", second - first);
    world.simulator.say("Bram", "mend").await;
    world.simulator.advance(1000).await;
    world.wait_for_texts("Bram", 2).await;
    world.simulator.advance(10 * 60_000).await;
    let receipt = world.wait_for_phase("1", "done").await;
    assert_eq!(text(&receipt, "/plugins/0/state"), "done", "{receipt}");
    assert_eq!(world.traces(), Vec::<String>::new());
    world.daemon.stop().await;
}

#[tokio::test]
async fn a_plugin_that_fails_is_listed_and_retried() {
    let world = World::start().await;
    world.chat().await;
    world.simulator.say("Bram", "break").await;
    world.wait_for_texts("Bram", 3).await;
    assert!(world.cli(&["contacts", "erase", "con_1", "--yes"]).await.0);
    let view = wait_until("the plugin has failed and blocks the erasure", async || {
        Some(world.json(&["erasures", "show", "1", "--json"]).await)
            .filter(|view| text(view, "/plugins/0/state") == "failed" && text(view, "/phase") == "plugins")
    })
    .await;
    assert!(text(&view, "/plugins/0/error").contains("the guestbook is broken"), "{view}");
    let dead_letter = text(&view, "/plugins/0/dead_letter").to_owned();
    assert!(!world.traces().is_empty());
    // Nothing is sent in the meantime, and no number leads to the person.
    let (_, explained, _) = world.cli(&["gate", "explain", "con_1", "--text", "hi"]).await;
    assert!(explained.contains("erased"), "{explained}");
    world.simulator.say("Bram", "mend").await;
    world.wait_for_texts("Bram", 4).await;
    let (done, output, error) = world.cli(&["dead-letters", "retry", &dead_letter]).await;
    assert!(done, "{output} {error}");
    let receipt = world.wait_for_phase("1", "done").await;
    assert_eq!(text(&receipt, "/plugins/0/state"), "done");
    assert_eq!(world.traces(), Vec::<String>::new());
    world.daemon.stop().await;
}

#[tokio::test]
async fn people_get_their_data_and_are_erased_in_the_chat() {
    let world = World::start().await;
    world.chat().await;
    world.simulator.say(NAME, "MIJNGEGEVENS").await;
    let texts = world.wait_for_texts(NAME, 3).await;
    assert!(texts.last().is_some_and(|question| question.contains("MIJNGEGEVENS JA")), "{texts:?}");
    world.simulator.tap(NAME, "beadle:export:yes").await;
    let document = wait_until("the copy arrives", async || {
        let messages = world.simulator.messages(Some(NAME)).await;
        messages.into_iter().find(|message| message.pointer("/body/filename").is_some())
    })
    .await;
    assert_eq!(text(&document, "/body/filename"), "mijn-gegevens.html", "{document}");
    assert!(text(&document, "/body/caption").starts_with("Je gegevens: "), "{document}");
    world.settle().await;
    assert!(world.json(&["contacts", "requests", "--json"]).await.pointer("/items/0").is_none());

    world.simulator.say(NAME, "Vergeet mij").await;
    world.settle().await;
    world.simulator.say(NAME, "vergeetmij ja").await;
    world.wait_for_phase("1", "done").await;
    world.settle().await;
    let texts = world.simulator.texts(NAME).await;
    assert!(texts.last().is_some_and(|last| last.contains("laatste bericht")), "{texts:?}");
    assert_eq!(world.traces(), Vec::<String>::new(), "the copy is gone as well");
    let list = world.json(&["erasures", "list", "--json"]).await;
    assert_eq!(text(&list, "/items/0/asked_by"), "person");
    // A word without a request before it does nothing, and says so.
    world.simulator.say("Bram", "FORGETME YES").await;
    world.settle().await;
    let texts = world.simulator.texts("Bram").await;
    assert!(texts.last().is_some_and(|last| last.contains("Send the word")), "{texts:?}");
    assert!(world.cli(&["contacts", "show", "con_2"]).await.0);
    world.daemon.stop().await;
}

#[tokio::test]
async fn erasure_survives_kills() {
    let mut rng = Rng::seeded();
    let mut world = World::start().await;
    world.chat().await;
    assert!(world.cli(&["contacts", "erase", "con_1", "--yes"]).await.0);
    for _ in 0..4 {
        rng.sleep_below(300).await;
        world.daemon.kill9().await;
        world.daemon = world.setup.start().await;
    }
    world.wait_for_phase("1", "done").await;
    assert_eq!(world.traces(), Vec::<String>::new());
    assert!(world.cli(&["consents", "verify"]).await.0);
    let entries = world.daemon.get("plugins/guestbook/state").await.to_string();
    assert!(!entries.contains(SECRET), "{entries}");
    world.daemon.stop().await;
}
