//! The reminder with the real daemon, under a clock that is turned: who was not answered is nudged before the window closes,
//! once; who was answered is not.

use beadle_e2e::daemon::Setup;
use beadle_e2e::simulator::Place;

const HOUR_MS: i64 = 60 * 60 * 1000;

#[tokio::test]
async fn who_was_not_answered_is_nudged_once_and_who_was_is_not() {
    let place = Place::new();
    let quiet = "stage = \"observe\"\nsettings = { quiet_from = 0, quiet_until = 0 }";
    // Welcome answers `rules` and greets; it passes all else.
    let setup = Setup::new(&place.url()).plugin("reminder", quiet).plugin("welcome", "").clock(&place.clock_url());
    let simulator = place.start_virtual(&setup).await;
    let daemon = setup.start().await;
    for person in ["Ana", "Bram"] {
        simulator.say(person, "hello").await;
        simulator.advance(0).await;
    }
    let greeted = simulator.texts("Ana").await.len();
    // Ana asks what nobody answers; Bram asks what is answered.
    simulator.advance(HOUR_MS).await;
    simulator.say("Ana", "Are you open on Sunday?").await;
    simulator.say("Bram", "rules").await;
    simulator.advance(0).await;
    let bram = simulator.texts("Bram").await.len();
    simulator.advance(30 * HOUR_MS).await;
    let ana = simulator.texts("Ana").await;
    assert_eq!(ana.len(), greeted + 1, "{ana:?}");
    assert!(ana.last().is_some_and(|text| text.contains("have not answered your message yet")), "{ana:?}");
    assert_eq!(simulator.texts("Bram").await.len(), bram);
    assert_eq!(daemon.count("dead-letters").await, 0);
    daemon.stop().await;
}
