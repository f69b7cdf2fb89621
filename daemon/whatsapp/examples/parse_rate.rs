//! Measures how many webhooks per second one core processes: signature, parsing, normalisation and
//! key. Each webhook has one text message, and then a thousand, escaped as the platform escapes
//! them.
//!
//! `cargo run --release -p beadle-whatsapp --example parse_rate`

use beadle_model::Timestamp;
use beadle_model::keyword::Language;
use beadle_test_support::webhook::signature;
use beadle_whatsapp::{App, AppConfig, Secret};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SECRET: &str = "test-app-secret";
const MEASURED_FOR: Duration = Duration::from_secs(2);

fn webhook(messages: usize) -> Vec<u8> {
    let message = |n: usize| {
        format!(
            r#"{{"from":"16505551234","id":"wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0R{n:04}","timestamp":"1749416383","text":{{"body":"Does it come in another color? sch\u00f6n https:\/\/example.com"}},"type":"text"}}"#
        )
    };
    let messages: Vec<_> = (0..messages).map(message).collect();
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"419561257915477","changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550783881","phone_number_id":"106540352242922"}},"contacts":[{{"profile":{{"name":"Sheena Nelson"}},"wa_id":"16505551234","user_id":"US.13491208655302741918"}}],"messages":[{}]}},"field":"messages"}}]}}]}}"#,
        messages.join(",")
    )
    .into_bytes()
}

fn main() {
    let app = App::new(AppConfig {
        name: "main".into(),
        verify_token: Secret::new("t"),
        app_secret: Secret::new(SECRET),
        channels: [("106540352242922".to_owned(), "shop".to_owned())].into(),
        accounts: Default::default(),
        install: "c0ffee11".into(),
        brand: "The Potters".into(),
        language: Language::En,
        own_words: Default::default(),
        topics: vec![],
        language_from_number: false,
    });
    for messages in [1, 1000] {
        let body = webhook(messages);
        let signature = signature(SECRET, &body);
        let (started, mut webhooks, mut events) = (Instant::now(), 0_u64, 0);
        while started.elapsed() < MEASURED_FOR {
            let parsed = app.receive(Some(&signature), black_box(&body), Timestamp(1_749_416_384_000));
            events += black_box(parsed).map_or(0, |parsed| parsed.events.len());
            webhooks += 1;
        }
        let elapsed = started.elapsed();
        let rate = |count: f64| count / elapsed.as_secs_f64();
        println!(
            "{messages:>3} messages, {:>6} bytes: {:>8.0} webhooks/s, {:>8.0} events/s, {:.2} µs per event",
            body.len(),
            rate(webhooks as f64),
            rate(events as f64),
            elapsed.as_secs_f64() * 1e6 / events.max(1) as f64,
        );
    }
}
