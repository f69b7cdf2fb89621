//! Fixtures for tests of webhooks: an app with a known secret, and the example webhooks.

use beadle_model::Timestamp;
use beadle_model::keyword::Language;
use beadle_test_support::webhook::signature;
use beadle_whatsapp::{App, AppConfig, Parsed, Secret};
use serde_json::{Map, Value};

pub const SECRET: &str = "test-app-secret";
pub const NUMBER: &str = "106540352242922";
/// 2026-11-21T20:36:00Z.
pub const NOW: Timestamp = Timestamp(1_795_293_360_000);

pub fn app() -> App {
    App::new(AppConfig {
        name: "main".into(),
        verify_token: Secret::new("open sesame"),
        app_secret: Secret::new(SECRET),
        channels: [(NUMBER.to_owned(), "shop".to_owned())].into(),
        accounts: Default::default(),
        install: "c0ffee11".into(),
        brand: "The Potters".into(),
        language: Language::Nl,
        own_words: Default::default(),
        topics: vec![],
        language_from_number: false,
    })
}

pub fn receive(app: &App, body: &[u8]) -> Parsed {
    app.receive(Some(&signature(SECRET, body)), body, NOW).unwrap()
}

pub fn fixtures(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}

/// Meta's examples.
pub fn metas_webhooks() -> Map<String, Value> {
    fixtures(include_str!("../fixtures/meta/webhooks.json"))
}

/// Our own examples.
pub fn our_webhooks() -> Map<String, Value> {
    fixtures(include_str!("../fixtures/more.json"))
}

/// Both.
pub fn webhooks() -> Map<String, Value> {
    let mut all = metas_webhooks();
    all.extend(our_webhooks());
    all
}
