//! The way of an event, once through: a signed message comes in, a plugin in the sandbox answers, receipts come back.

use beadle_e2e::daemon::Setup;
use beadle_e2e::simulator::Place;

#[tokio::test]
async fn a_text_is_answered_by_the_plugin() {
    let place = Place::new();
    let setup = Setup::new(&place.url()).plugin("echo", "");
    let daemon = setup.start().await;
    let simulator = place.start(&setup).await;
    simulator.say("Ana", "Olá, tudo bem?").await;
    simulator.got("Ana", &["Olá, tudo bem?"]).await;
    daemon.idle().await;
    daemon.stop().await;
}
