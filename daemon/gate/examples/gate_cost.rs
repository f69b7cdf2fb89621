//! Measures what the gate costs for a message once its facts are collected: the checks and their
//! trace, without I/O, on one core.
//!
//! `cargo run --release -p beadle-gate --example gate_cost`

#![expect(clippy::disallowed_types, reason = "it measures time; the gate itself reads no clock")]

use beadle_gate::{Draft, Facts, ReachedCap, TemplateFacts, decide};
use beadle_model::consent::{ConsentAct, ConsentEntry, NewConsent};
use beadle_model::outgoing::{Parameter, ParameterValue, Template};
use beadle_model::time::HOUR_MS;
use beadle_model::{
    Alias, AliasKind, Consents, Contact, ContactId, ConversationId, ConversationView, Outgoing, Profile, Purpose,
    TemplateDefinition, Timestamp,
};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp(1_795_293_360_000);
const MEASURED_FOR: Duration = Duration::from_secs(1);
/// Messages between two looks at the clock.
const ROUND: u32 = 1000;

/// A person who agreed to marketing, and whose window is open.
fn conversation() -> ConversationView {
    let consent = NewConsent::in_chat(Purpose::Marketing, ConsentAct::Granted, NOW);
    let entry = ConsentEntry { id: 1, recorded_at: NOW, consent };
    let profile = Profile { consents: Consents::of([&entry]), ..Profile::default() };
    ConversationView {
        id: ConversationId(1),
        channel: "shop".into(),
        contact: Contact { id: ContactId(1), profile: Some(Arc::new(profile)), ..Contact::unknown() },
        group: None,
        address: Some(Alias { kind: AliasKind::WaId, value: "16505551234".into() }),
        window_until: Some(NOW.plus_ms(HOUR_MS)),
        free_entry_until: None,
    }
}

fn definition() -> TemplateDefinition {
    TemplateDefinition {
        platform_id: "1".into(),
        name: "news".into(),
        language: "en".into(),
        category: "marketing".into(),
        status: "approved".into(),
        quality: None,
        reason: None,
        is_named: false,
        components: serde_json::json!([{"type": "BODY", "text": "Hello {{1}}, this is the news of {{2}}."}]),
        changed_at: NOW,
    }
}

fn main() {
    let conversation = conversation();
    let text = Outgoing::Text { body: "See you at eight".into(), preview_url: false, quote: None };
    let value = |text: &str| Parameter { name: None, value: ParameterValue::Text(text.into()) };
    let template = Template { body: vec![value("Ana"), value("Friday")], ..Template::new("news", "en") };
    let template = Outgoing::Template(Box::new(template));
    let open = Facts::new(&conversation, NOW);
    let known = Facts { template: TemplateFacts::Defined(Box::new(definition())), ..open.clone() };
    let mut capped = known.clone();
    capped.circumstances.capped =
        Some(ReachedCap { received: "2 marketing messages".into(), limit: "per_day = 2".into(), until: NOW });
    for (name, body, facts) in [
        ("text in an open window", &text, &open),
        ("marketing template with two variables", &template, &known),
        ("marketing template, refused by a cap", &template, &capped),
    ] {
        let draft = Draft::new(body);
        let (started, mut messages) = (Instant::now(), 0_u32);
        while started.elapsed() < MEASURED_FOR {
            for _ in 0..ROUND {
                black_box(decide(black_box(&draft), black_box(facts)));
            }
            messages += ROUND;
        }
        println!("{name}: {:.3} µs", started.elapsed().as_secs_f64() * 1e6 / f64::from(messages));
    }
}
