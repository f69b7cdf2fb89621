//! The plugin reminder in virtual time: an unanswered person is nudged once before the window
//! closes, an answered one is not.

use beadle_test_support::daemon::Setup;
use beadle_test_support::simulator::SimulatorAddress;

const HOUR_MS: i64 = 60 * 60 * 1000;

#[tokio::test]
async fn only_unanswered_people_are_nudged_once() {
    let address = SimulatorAddress::reserve();
    let quiet = "stage = \"observe\"\nsettings = { quiet_from = 0, quiet_until = 0 }";
    // The plugin welcome greets, answers `rules`, and passes everything else.
    let setup = Setup::new(&address.url()).plugin("reminder", quiet).plugin("welcome", "").clock(&address.clock_url());
    let simulator = address.start_virtual(&setup).await;
    let daemon = setup.start().await;
    for person in ["Ana", "Bram"] {
        simulator.say(person, "hello").await;
        simulator.advance(0).await;
    }
    let greeted = simulator.texts("Ana").await.len();
    // Ana's question is not answered, Bram's is.
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
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    daemon.stop().await;
}
