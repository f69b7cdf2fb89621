//! STOP and START work before any plugin, in several languages, and with every plugin broken.

use crate::UNPACED;
use beadle_test_support::daemon::Setup;
use beadle_test_support::simulator::SimulatorAddress;
use beadle_test_support::{time_at, wait_until};

#[tokio::test]
async fn stop_lasts_until_start() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).toml("[keywords]\nbrand = \"De Buurt\"");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    for (person, stop, start) in
        [("Ana", "Parar", "Começar"), ("Bram", "afmelden!", "Aanmelden"), ("Kadri", "LÕPETA", "alusta")]
    {
        simulator.say(person, "one").await;
        simulator.expect_texts(person, &["one"]).await;
        simulator.say(person, stop).await;
        // Beadle answers, not the plugin.
        wait_until("STOP is answered", async || (simulator.texts(person).await.len() == 2).then_some(())).await;
        simulator.say(person, "two").await;
        simulator.wait_until_delivered().await;
        daemon.wait_until_idle().await;
        assert_eq!(simulator.texts(person).await.len(), 2, "nothing is sent after STOP");
        // That a plugin still answers is nobody's error.
        assert_eq!(daemon.status_count("dead_letters").await, 0);
        assert!(!daemon.program.output().contains("ERROR"), "{}", daemon.program.output());
        simulator.say(person, start).await;
        wait_until("START is answered", async || (simulator.texts(person).await.len() == 3).then_some(())).await;
        simulator.say(person, "three").await;
        wait_until("messages are answered again", async || (simulator.texts(person).await.len() == 4).then_some(()))
            .await;
        let texts = simulator.texts(person).await;
        assert_eq!(texts.last().map(String::as_str), Some("three"));
        assert!(texts.iter().all(|text| ![stop, start, "two"].contains(&text.as_str())), "{texts:?}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn stop_works_with_every_plugin_broken() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url())
        .probe("guard", "wrong = \"trap\"", "stage = \"guard\"\non_failure = \"skip\"")
        .probe("answer", "wrong = \"trap\"", "")
        .toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    simulator.say("Ana", "STOP").await;
    wait_until("STOP is answered", async || (simulator.texts("Ana").await.len() == 1).then_some(())).await;
    daemon.wait_until_idle().await;
    let contacts = daemon.get("contacts").await;
    assert!(time_at(&contacts, "/items/0/opted_out_since").is_some(), "{contacts}");
    assert_eq!(contacts.pointer("/items/0/member_since"), None, "{contacts}");
    daemon.stop().await;
}

/// Each word in each language, as people write it: an answer in that language, and its effect.
#[tokio::test]
async fn every_word_is_heard_in_five_languages() {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).plugin("echo", "").toml(UNPACED).toml("[keywords]\nbrand = \"De Buurt\"");
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    // HELP, HUMAN, MYDATA, FORGETME, "Stop promotions", LEAVE, JOIN, STOP, START.
    let people = [
        (
            "Ann",
            ["Help", "human", "My data", "forget me!", "Stop promotions", "leave", "JOIN", "unsubscribe", "Subscribe"],
        ),
        (
            "Bram",
            [
                "hulp",
                "Medewerker",
                "mijn gegevens",
                "Vergeet mij",
                "Stop reclame",
                "Verlaten",
                "meedoen",
                "Uitschrijven",
                "aanmelden",
            ],
        ),
        (
            "Carl",
            [
                "Hilfe",
                "Mitarbeiter",
                "Meine Daten",
                "vergiss mich",
                "Werbung stoppen",
                "austreten",
                "Beitreten",
                "Abmelden",
                "anmelden",
            ],
        ),
        (
            "Dora",
            [
                "ajuda",
                "Atendente",
                "Meus dados",
                "Esqueça-me",
                "Parar promoções",
                "SAIR",
                "Participar",
                "cancelar",
                "começar",
            ],
        ),
        (
            "Eva",
            ["Abi", "inimene", "minu andmed", "Unusta mind", "lõpeta reklaam", "Lahku", "liitu", "Peata", "Alusta"],
        ),
    ];
    let mut answers: Vec<Vec<String>> = Vec::new();
    for (n, (person, words)) in people.into_iter().enumerate() {
        simulator.add_person(person, &format!("+3161234560{n}")).await;
        let mut heard = Vec::new();
        for word in words {
            let before = simulator.messages(Some(person)).await.len();
            simulator.say(person, word).await;
            let answer = wait_until(&format!("`{word}` is answered"), async || {
                simulator.messages(Some(person)).await.get(before).cloned()
            })
            .await;
            let body = ["/body/body", "/body/body/text"].iter().find_map(|at| answer.pointer(at)?.as_str());
            heard.push(body.unwrap_or_else(|| panic!("`{word}`: {answer}")).to_owned());
            assert_ne!(heard.last().map(String::as_str), Some(word), "the plugin answered");
        }
        // Joined, left, joined, stopped, started again.
        let contacts = daemon.get("contacts").await;
        let contact = contacts["items"].as_array().unwrap().iter().find(|row| row["name"] == person).unwrap();
        assert!(contact["member_since"].is_string() && contact["opted_out_since"].is_null(), "{contact}");
        answers.push(heard);
    }
    for word in 0..answers[0].len() {
        let mut languages: Vec<&str> = answers.iter().map(|heard| heard[word].as_str()).collect();
        languages.sort_unstable();
        languages.dedup();
        assert_eq!(languages.len(), 5, "five languages: {languages:?}");
    }
    let requests = daemon.list_all("contacts/requests").await;
    let of_kind = |kind: &str| requests.iter().filter(|row| row["kind"] == kind).count();
    assert_eq!((of_kind("human"), of_kind("export"), of_kind("erase")), (5, 5, 5), "{requests:?}");
    daemon.stop().await;
}
