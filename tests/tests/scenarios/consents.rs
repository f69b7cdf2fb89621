//! The consent ledger with the real programs: opt-in by word, by the operator with the person's
//! confirmation, by a plugin; withdrawal; requests by reserved words; profiles; import and export.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::wait_until;
use serde_json::Value;

const PEOPLE: &str = r#"
[keywords]
brand = "De Buurt"
[contacts.attributes]
size = { one_of = ["S", "M"] }
points = "number"
[consents.wordings.news]
purpose = "marketing:news"
version = 2
word = "NEWS"
text = { en = "De Buurt may send me news. STOP ends it.", nl = "De Buurt mag mij nieuws sturen. Met STOP eindigt het." }
"#;

/// Runs a command that must succeed; returns its JSON.
async fn json(setup: &Setup, arguments: &[&str]) -> Value {
    let output = setup.cli(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// Runs a command; returns whether it succeeded, and its standard output and error.
async fn run(setup: &Setup, arguments: &[&str]) -> (bool, String, String) {
    let output = setup.cli(arguments).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// The state of a purpose of the first contact.
async fn state(setup: &Setup, purpose: &str) -> String {
    let view = json(setup, &["consents", "show", "con_1", "--json"]).await;
    let rows = view.get("purposes").and_then(Value::as_array).cloned().unwrap_or_default();
    let found = rows.iter().find(|row| text(row, "/purpose") == purpose);
    found.map_or("missing".into(), |row| text(row, "/state").to_owned())
}

/// Waits until a person has received this many messages; returns the last one's text.
async fn received(simulator: &Simulator, person: &str, count: usize) -> String {
    let texts = wait_until("a message arrives", async || {
        let texts = simulator.texts(person).await;
        (texts.len() >= count).then_some(texts)
    })
    .await;
    assert_eq!(texts.len(), count, "{texts:?}");
    texts.last().cloned().unwrap_or_default()
}

async fn start(setup: &Setup, address: SimulatorAddress) -> (Simulator, Daemon) {
    let daemon = setup.start().await;
    (address.start(setup).await, daemon)
}

#[tokio::test]
async fn opt_in_is_confirmed_by_the_person_and_withdrawn_by_a_word() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).toml(UNPACED).toml(PEOPLE);
    let (simulator, daemon) = start(&setup, address).await;
    simulator.say("Ana", "hello").await;
    wait_until("the contact is there", async || {
        let (is_there, ..) = run(&setup, &["consents", "show", "con_1", "--json"]).await;
        is_there.then_some(())
    })
    .await;
    daemon.wait_until_idle().await;
    assert_eq!([state(&setup, "service").await, state(&setup, "marketing:news").await], ["granted", "missing"]);

    let record = ["consents", "record", "con_1", "marketing:news", "--source", "paper"];
    let (done, _, error) = run(&setup, &record).await;
    assert!(!done && error.contains("wording-required"), "{error}");
    let (done, output, error) =
        run(&setup, &[&record[..], &["--wording", "news", "--evidence", "form 7"]].concat()).await;
    assert!(done && output.contains("is asked to confirm"), "{output} {error}");
    assert_eq!(received(&simulator, "Ana", 1).await, "De Buurt may send me news. STOP ends it.");
    assert_eq!(state(&setup, "marketing:news").await, "requested");
    let list = json(&setup, &["consents", "list", "--json"]).await;
    let entry = list.pointer("/items/0/id").and_then(Value::as_i64).unwrap();
    simulator.tap("Ana", &format!("beadle:consent:{entry}:yes")).await;
    received(&simulator, "Ana", 2).await;
    assert_eq!(state(&setup, "marketing:news").await, "granted");
    let (_, output, _) = run(&setup, &["consents", "show", "con_1"]).await;
    for part in ["news v2 (en)", "De Buurt may send me news. STOP ends it.", "form 7", "by person", "wamid."] {
        assert!(output.contains(part), "{part} is missing in {output}");
    }

    simulator.say("Ana", "Stop news").await;
    assert!(received(&simulator, "Ana", 3).await.contains("no more of this"));
    assert_eq!([state(&setup, "service").await, state(&setup, "marketing:news").await], ["granted", "withdrawn"]);
    simulator.say("Ana", "NEWS!").await;
    received(&simulator, "Ana", 4).await;
    assert_eq!(state(&setup, "marketing:news").await, "granted");
    simulator.say("Ana", "Stop promotions").await;
    received(&simulator, "Ana", 5).await;
    assert_eq!(state(&setup, "marketing:news").await, "withdrawn", "it is marketing");
    let (done, _, error) = run(&setup, &["consents", "record", "con_1", "news", "--source", "web"]).await;
    assert!(!done && error.contains("`news` is not a purpose"), "{error}");
    let (done, output, _) = run(&setup, &["consents", "verify"]).await;
    assert!(done && output.contains("all intact"), "{output}");
    daemon.stop().await;
}

#[tokio::test]
async fn requests_are_confirmed_by_a_button_and_listed_for_the_operator() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).toml(PEOPLE);
    let (simulator, daemon) = start(&setup, address).await;
    simulator.say("Ana", "Hulp").await;
    let help = received(&simulator, "Ana", 1).await;
    assert!(help.contains("De Buurt") && help.contains("MIJNGEGEVENS"), "{help}");
    simulator.say("Ana", "human").await;
    received(&simulator, "Ana", 2).await;
    simulator.say("Ana", "vergeet mij").await;
    assert!(received(&simulator, "Ana", 3).await.contains("wist"));
    let open = json(&setup, &["contacts", "requests", "--json"]).await;
    let kinds: Vec<&str> = ["/items/0/kind", "/items/1/kind"].map(|at| text(&open, at)).into();
    assert_eq!(kinds, ["human", "erase"]);
    assert!(open.pointer("/items/1/confirmed_at").is_none(), "{open}");
    simulator.tap("Ana", "beadle:erase:no").await;
    assert!(received(&simulator, "Ana", 4).await.contains("niets veranderd"), "in Ana's language");
    let open = json(&setup, &["contacts", "requests", "--json"]).await;
    assert!(open.pointer("/items/1").is_none(), "{open}");
    let number = open.pointer("/items/0/id").and_then(Value::as_i64).unwrap().to_string();
    assert!(run(&setup, &["contacts", "close-request", &number]).await.0);
    assert!(!run(&setup, &["contacts", "close-request", &number]).await.0, "it is closed");
    daemon.stop().await;
}

#[tokio::test]
async fn plugin_edits_profiles_and_cannot_invent_consent() {
    let address = SimulatorAddress::reserve();
    let grants = "grant = [\"contacts-edit\", \"consents\"]";
    let setup = Setup::new(&address.url()).plugin("clerk", grants).toml(UNPACED).toml(PEOPLE);
    let (simulator, daemon) = start(&setup, address).await;
    let table = [
        ("tag vip", "done"),
        ("attributes {\"size\":\"M\",\"points\":7}", "done"),
        ("attributes {\"size\":\"XL\"}", "attribute-type"),
        ("attributes {\"colour\":\"red\"}", "attribute-unknown"),
        ("role moderator", "done"),
        ("role admin", "bad-role"),
        ("me", "moderator vip {\"points\":7,\"size\":\"M\"}"),
        ("admin", "only admins"),
        ("asked marketing:news", "missing"),
        ("agree marketing:shoes", "wrong-wording"),
        ("agree news", "unknown-purpose"),
        ("agree marketing:news", "done"),
        ("asked marketing:news", "granted"),
    ];
    let mut count = 0;
    for (says, answer) in table {
        simulator.say("Ana", says).await;
        count += 1;
        assert_eq!(received(&simulator, "Ana", count).await, answer, "{says}");
    }
    let heard = daemon.get("plugins/clerk/state?scope=con_1").await;
    assert!(heard.to_string().contains("marketing:news granted"), "{heard}");
    assert!(run(&setup, &["contacts", "set", "con_1", "--role", "admin", "--attribute", "points="]).await.0);
    simulator.say("Ana", "admin").await;
    assert_eq!(received(&simulator, "Ana", count + 1).await, "1 admins");
    simulator.say("Ana", "role banned").await;
    assert_eq!(received(&simulator, "Ana", count + 2).await, "bad-role", "an admin is the operator's matter");
    // What the plugin reports about paper, Bram is asked about.
    simulator.say("Bram", "claim marketing:news").await;
    received(&simulator, "Bram", 2).await;
    let mut texts = simulator.texts("Bram").await;
    texts.sort();
    assert_eq!(texts, ["De Buurt may send me news. STOP ends it.", "done"]);
    let (_, output, _) = run(&setup, &["contacts", "show", "con_1"]).await;
    assert!(output.contains("admin") && output.contains("vip") && output.contains("size M"), "{output}");
    daemon.stop().await;
}

#[tokio::test]
async fn import_with_a_broken_row_changes_nothing() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).toml(UNPACED).toml(PEOPLE);
    let (_simulator, daemon) = start(&setup, address).await;
    let file = setup.data().join("people.csv");
    let path = file.to_string_lossy().into_owned();
    let heading = "phone,name,tags,attribute.size,role,consent_source,consent_purpose,consent_wording\n";
    let good = "+31 6 1234 5678,Ana,vip,M,helper,paper,marketing:news,news\n+31612345679,Bram,,,,,,\n";
    let bad = "0612345670,Cem,,,,,,\n+31612345671,Dee,,XL,,,,\n+31612345672,Eva,,,,fax,marketing:news,news\n\
               +31612345673,Finn,,,,paper,news,news\n+31 612345679,Bram again,,,,,,\n+31612345674,Gus\n";
    std::fs::write(&file, format!("{heading}{good}{bad}")).unwrap();
    let (done, output, error) = run(&setup, &["contacts", "import", &path]).await;
    assert!(!done && output.contains("Nothing was imported"), "{output} {error}");
    for part in [
        "line 4: `0612345670`",
        "line 5: attribute `size`",
        "line 6: `fax`",
        "line 7: `news`",
        "line 8: the same number is in line 3",
        "line 9: 2 columns",
    ] {
        assert!(output.contains(part), "{part} is missing in {output}");
    }
    assert_eq!(daemon.list_all("contacts").await.len(), 0);

    std::fs::write(&file, format!("{heading}{good}")).unwrap();
    let would = json(&setup, &["contacts", "import", &path, "--dry-run", "--json"]).await;
    assert_eq!((would.get("created"), would.get("quarantined")), (Some(&2.into()), Some(&1.into())), "{would}");
    assert_eq!(daemon.list_all("contacts").await.len(), 0);
    let (done, output, error) = run(&setup, &["contacts", "import", &path]).await;
    assert!(done && output.contains("Imported 2 contacts"), "{output} {error}");
    let (_, listed, _) = run(&setup, &["contacts", "list"]).await;
    assert!(listed.contains("quarantined"), "{listed}");
    assert_eq!(state(&setup, "marketing:news").await, "requested");
    for (name, part) in [("out.csv", "marketing:news requested"), ("out.vcf", "TEL;VALUE=uri:tel:+31612345678")] {
        let out = setup.data().join(name);
        assert!(run(&setup, &["contacts", "export", "--output", &out.to_string_lossy()]).await.0);
        let text = std::fs::read_to_string(&out).unwrap();
        assert!(text.contains(part) && text.contains("Ana") && text.contains("vip"), "{text}");
    }
    let again = json(&setup, &["contacts", "import", &setup.data().join("out.vcf").to_string_lossy(), "--json"]).await;
    assert_eq!((again.get("created"), again.get("known")), (Some(&0.into()), Some(&2.into())), "{again}");
    daemon.stop().await;
}
