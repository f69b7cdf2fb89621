//! STOP and START work before any plugin, in five languages, and with every plugin broken.

use crate::UNPACED;
use beadle_e2e::daemon::Setup;
use beadle_e2e::simulator::Place;
use beadle_e2e::until;

#[tokio::test]
async fn who_said_stop_gets_no_more_and_start_brings_it_back() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "").toml(UNPACED).toml("[keywords]\nbrand = \"De Buurt\"");
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    for (person, stop, start) in
        [("Ana", "Parar", "Começar"), ("Bram", "afmelden!", "Aanmelden"), ("Kadri", "LÕPETA", "alusta")]
    {
        simulator.say(person, "one").await;
        simulator.got(person, &["one"]).await;
        simulator.say(person, stop).await;
        // Beadle's own answer, and not the plugin's.
        until("STOP is answered", async || (simulator.texts(person).await.len() == 2).then_some(())).await;
        simulator.say(person, "two").await;
        simulator.delivered().await;
        daemon.idle().await;
        assert_eq!(simulator.texts(person).await.len(), 2, "nothing is sent to who said STOP");
        simulator.say(person, start).await;
        until("START is answered", async || (simulator.texts(person).await.len() == 3).then_some(())).await;
        simulator.say(person, "three").await;
        until("it is as before", async || (simulator.texts(person).await.len() == 4).then_some(())).await;
        let texts = simulator.texts(person).await;
        assert_eq!(texts.last().map(String::as_str), Some("three"));
        assert!(texts.iter().all(|text| ![stop, start, "two"].contains(&text.as_str())), "{texts:?}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn stop_works_with_every_plugin_broken() {
    let place = Place::new();
    let setup = Setup::new(&place.url())
        .probe("guard", "wrong = \"trap\"", "stage = \"guard\"\non_failure = \"skip\"")
        .probe("answer", "wrong = \"trap\"", "")
        .toml(UNPACED);
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "STOP").await;
    until("STOP is answered", async || (simulator.texts("Ana").await.len() == 1).then_some(())).await;
    daemon.idle().await;
    let contacts = daemon.get("contacts").await;
    let opted_out = contacts.pointer("/items/0/opted_out_since");
    assert!(opted_out.is_some_and(|since| since.is_i64()), "{contacts}");
    assert_eq!(contacts.pointer("/items/0/member_since"), None, "{contacts}");
    daemon.stop().await;
}
