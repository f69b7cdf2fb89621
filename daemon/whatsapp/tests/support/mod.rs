//! What the tests share: an app with a secret, and a platform's hand to sign with.

use beadle_model::Timestamp;
use beadle_model::word::Language;
use beadle_whatsapp::{App, AppConfig, Parsed, Secret};
use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

pub const SECRET: &str = "test-app-secret";
pub const NUMBER: &str = "106540352242922";
/// 2026-11-21T20:36:00Z
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
        language_from_number: false,
    })
}

pub fn sign(body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap().chain_update(body).finalize();
    let hex: String = mac.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

pub fn receive(app: &App, body: &[u8]) -> Parsed {
    app.receive(Some(&sign(body)), body, NOW).unwrap()
}

pub fn fixtures(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}

pub fn webhooks() -> Map<String, Value> {
    let mut all = fixtures(include_str!("../fixtures/meta/webhooks.json"));
    all.extend(fixtures(include_str!("../fixtures/more.json")));
    all
}
