//! The plugin community-updates by broadcast: each person gets an update as they may be reached, in
//! the state in which it began, and once across kills.

use crate::text;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::rng::{Rng, is_long_run};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::{wait_for_count, wait_until, webhook};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MINUTE_MS: i64 = 60_000;
/// Friday 2026-03-27T12:00:00Z
const FRIDAY_NOON: i64 = 1_774_612_800_000;

const CONFIG: &str = r#"
[contacts]
language_from_number = true
[windows]
expiring_before = []
[keywords]
brand = "De Buurt"
[consents]
double_opt_in = []
[consents.wordings.news]
purpose = "marketing:news"
text = { en = "De Buurt may send me news. STOP ends it." }
[consents.wordings.sport]
purpose = "marketing:sport"
text = { en = "De Buurt may send me news about sport. STOP ends it." }
[segments.here]
where = '!("away" in tags)'
"#;

/// An installation with the plugin and its folder of updates.
fn setup(address: &SimulatorAddress, settings: &str, files: &[(&str, &str)]) -> (Setup, PathBuf) {
    let plugin =
        format!("grant = [\"messages\", \"broadcasts\"]\ndocuments = \"updates\"\nsettings = {{ {settings} }}");
    let setup = Setup::new(&address.url()).plugin("community-updates", &plugin).toml(CONFIG);
    let folder = setup.conf_d().with_file_name("updates");
    std::fs::create_dir(&folder).unwrap();
    files.iter().for_each(|(name, text)| std::fs::write(folder.join(name), text).unwrap());
    (setup, folder)
}

/// Submits a template with one variable in two languages, and waits until the daemon knows them.
async fn add_template(simulator: &Simulator, daemon: &Daemon, name: &str, category: &str) {
    for (language, sentence) in [("en", "There is news: {{1}}. Answer us."), ("nl", "Er is nieuws: {{1}}. Antwoord.")] {
        let body = json!({"type": "BODY", "text": sentence, "example": {"body_text": [["Party"]]}});
        let template = json!({"name": name, "language": language, "category": category, "components": [body]});
        simulator.graph("POST", &format!("{}/message_templates", webhook::BUSINESS_ID), &template).await;
    }
    wait_until("the templates are known", async || {
        assert_eq!(daemon.post("templates/sync").await.status, 200);
        let list = daemon.get("templates?status=approved").await;
        (list["items"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
}

/// Runs a command that must succeed; returns what it prints.
async fn run(setup: &Setup, arguments: &[&str]) -> String {
    let output = setup.cli(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn import(setup: &Setup, csv: &str) {
    let file = setup.data().join("people.csv");
    std::fs::write(&file, csv).unwrap();
    run(setup, &["contacts", "import", &file.to_string_lossy()]).await;
}

/// The first value of a template, or the text or caption of a message.
fn words(message: &Value) -> String {
    let paths = ["/body/components/0/parameters/0/text", "/body/caption", "/body/body"];
    paths.iter().map(|path| text(message, path)).find(|words| !words.is_empty()).unwrap_or_default().to_owned()
}

/// Saves a file, and waits until the daemon has read it.
async fn save(daemon: &Daemon, path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
    wait_until("the file is read", async || {
        let rows = daemon.list_all("plugins/community-updates/documents").await;
        rows.iter().any(|row| row["size"].as_u64() == Some(content.len() as u64)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn update_by_broadcast_reaches_each_person_as_they_may_be_reached() {
    let address = SimulatorAddress::reserve();
    let files = [
        ("party.md", "---\nimage: https://example.org/party.jpg\n---\n# Party\nCome!"),
        ("party.nl.md", "# Feest\nKom!"),
    ];
    let settings = r#"template = "update", broadcast = { purpose = "marketing:news", segment = "here" }"#;
    let (setup, _) = setup(&address, settings, &files);
    let schedule = "[[schedule]]\nname = \"party\"\nat = \"2026-03-27T13:00:00Z\"\nplugin = \"community-updates\"";
    let setup = setup.toml(schedule).clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    simulator.control("POST", "clock", &json!({ "set_ms": FRIDAY_NOON })).await;
    simulator.set_faults(json!({ "template_review_ms": 0 })).await;
    for (name, number) in [("Joop", "31610000201"), ("Dana", "31610000202")] {
        simulator.add_person(name, number).await;
    }
    let daemon = setup.start().await;
    add_template(&simulator, &daemon, "update", "MARKETING").await;
    // Bram, Joop and Dana have never written, so their windows are closed.
    let header = "phone,name,language,tags,consent_source,consent_purpose,consent_wording\n";
    let rows = "+31610000102,Bram,nl,,paper,marketing:news,news\n\
                +31610000201,Joop,nl,,paper,marketing:sport,sport\n\
                +31610000202,Dana,nl,away,paper,marketing:news,news\n";
    import(&setup, &format!("{header}{rows}")).await;
    for person in ["Ana", "Kadri"] {
        simulator.say(person, "hello").await;
        simulator.advance(0).await;
        daemon.wait_until_idle().await;
    }
    let granted = ["consents", "record", "con_4", "marketing:news", "--source", "operator", "--confirmed"];
    run(&setup, &granted).await;
    run(&setup, &["contacts", "set", "con_4", "--role", "admin"]).await;
    simulator.advance(65 * MINUTE_MS).await;

    let received = async |person: &str| -> Vec<(String, String)> {
        let messages = simulator.messages(Some(person)).await;
        messages.iter().map(|message| (text(message, "/type").to_owned(), words(message))).collect()
    };
    wait_until("the report arrives", async || (received("Ana").await.len() == 2).then_some(())).await;
    let ana = received("Ana").await;
    assert_eq!(ana[0], ("image".into(), "*Party*\nCome!".into()), "the window is open: the picture and the text");
    assert!(ana[1].1.starts_with("party foi enviado a 2 membros") && ana[1].1.contains("2 not-opted-in"), "{ana:?}");
    assert_eq!(received("Bram").await, [("template".to_owned(), "Feest".to_owned())], "the window is closed");
    for (person, why) in [("Kadri", "no consent"), ("Joop", "another topic"), ("Dana", "not in the segment")] {
        assert_eq!(received(person).await, [], "{person}: {why}");
    }

    // The author, and why each of them got it or not.
    let view = daemon.get("broadcasts/party").await;
    let row = (text(&view, "/author"), text(&view, "/state"), text(&view, "/purpose"));
    assert_eq!(row, ("community-updates", "finished", "marketing:news"), "{view}");
    let recipients = daemon.list_all("broadcasts/party/recipients").await;
    let states: Vec<(&str, &str, &str)> =
        recipients.iter().map(|row| (text(row, "/contact"), text(row, "/state"), text(row, "/code"))).collect();
    let expected = [
        ("con_1", "delivered", ""),
        ("con_2", "refused", "not-opted-in"),
        ("con_4", "delivered", ""),
        ("con_5", "refused", "not-opted-in"),
    ];
    assert_eq!(states, expected, "{recipients:?}");
    let why = run(&setup, &["why", text(&recipients[0], "/message")]).await;
    assert!(why.contains("part of broadcast party") && why.contains("agreed to marketing"), "{why}");
    let why = run(&setup, &["why", "con_5"]).await;
    assert!(why.contains("broadcast party") && why.contains("not-opted-in"), "{why}");
    for message in [["--template", "update", "--parameter", "Party"].as_slice(), ["--text", "Party"].as_slice()] {
        let words = [&["gate", "explain", "con_5"], message, &["--purpose", "marketing:news"]].concat();
        let explained = String::from_utf8_lossy(&setup.cli(&words).await.stdout).into_owned();
        assert!(explained.contains("has not agreed to `marketing:news`"), "{explained}");
    }
    daemon.stop().await;
}

/// People who never wrote.
const IMPORTED: usize = 540;
/// People who have just written.
const WRITERS: u64 = 60;

#[tokio::test]
async fn update_by_broadcast_is_sent_once_across_kills_and_saved_files() {
    let mut rng = Rng::seeded();
    let address = SimulatorAddress::reserve();
    let settings = r#"template = "update", broadcast = { purpose = "service", segment = "here" }"#;
    let (setup, folder) = setup(&address, settings, &[("party.md", "# Party\nCome!")]);
    let schedule = "[[schedule]]\nname = \"party\"\nat = \"2100-01-01T00:00:00Z\"\nplugin = \"community-updates\"";
    let pace = "[channels.shop.pace]\nmessages_per_second = 100\ncontact_seconds = 0\n\
                [outbox]\non_ambiguous = \"hold\"\nambiguous_wait = \"1s\"\n\
                [broadcasts]\napproval_above = 0\nmax_failed_percent = 100";
    let setup = setup.toml(schedule).toml(pace);
    let simulator = address.start(&setup).await;
    simulator.set_faults(json!({ "template_review_ms": 0, "unknown_numbers": "create" })).await;
    let mut daemon = setup.start().await;
    add_template(&simulator, &daemon, "update", "UTILITY").await;
    let rows: String = (0..IMPORTED).map(|n| format!("+316{n:08},paper,service\n")).collect();
    import(&setup, &format!("phone,consent_source,consent_purpose\n{rows}")).await;
    simulator.flood(WRITERS, WRITERS, 0.0, "hello").await;
    simulator.wait_for_written(WRITERS).await;
    daemon.wait_until_idle().await;

    let people = IMPORTED + usize::try_from(WRITERS).unwrap();
    run(&setup, &["schedules", "run", "party"]).await;
    let rounds = if is_long_run() { 20 } else { 5 };
    for round in 0..rounds {
        let goal = people * (round + 1) / (rounds + 2);
        wait_until("more people have it", async || (simulator.messages(None).await.len() >= goal).then_some(())).await;
        if round == 1 {
            let sent = simulator.messages(None).await.len();
            assert!(sent < people, "the file is saved in the middle, not after {sent} messages");
            save(&daemon, &folder.join("party.md"), "# Later\nIt moved to Sunday.").await;
        }
        rng.sleep_below(300).await;
        daemon.kill9().await;
        daemon = setup.start().await;
    }
    let sums = async || {
        let view = daemon.get("broadcasts/party").await;
        let count = |state: &str| view["recipients"][state].as_u64().unwrap_or_default();
        (count("sent"), count("failed"), text(&view, "/state") == "finished")
    };
    wait_for_count("the broadcast continues", people as u64, async || {
        let (sent, failed, _) = sums().await;
        sent + failed
    })
    .await;
    wait_until("it is finished", async || sums().await.2.then_some(())).await;

    let mut received: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in simulator.messages(None).await {
        received.entry(text(&message, "/person").to_owned()).or_default().push(words(&message));
    }
    let twice: Vec<_> = received.iter().filter(|(_, all)| all.len() > 1).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
    // A send that was ambiguous at a kill is held for the operator; it may have arrived.
    let held = usize::try_from(sums().await.1).unwrap();
    assert!(received.len() + held >= people, "{} got it, {held} are held", received.len());
    let mut texts: BTreeMap<&str, usize> = BTreeMap::new();
    received.values().flatten().for_each(|words| *texts.entry(words).or_default() += 1);
    assert_eq!(texts.keys().copied().collect::<Vec<_>>(), ["*Party*\nCome!", "Party"], "none has the later text");
    let writers = usize::try_from(WRITERS).unwrap();
    let inside = texts.get("*Party*\nCome!").copied().unwrap_or_default();
    assert!((writers.saturating_sub(held)..=writers).contains(&inside), "{texts:?}, {held} held");

    // The update was sent: another firing sends nothing.
    let before = simulator.messages(None).await.len();
    run(&setup, &["schedules", "run", "party"]).await;
    daemon.wait_until_idle().await;
    assert_eq!(daemon.get("broadcasts").await["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(simulator.messages(None).await.len(), before);
    daemon.stop().await;
}
