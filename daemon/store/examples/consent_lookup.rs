//! Measures the look-up of people's consent in a database of many: by the conversation, as the gate
//! does before a message, and by the conversations of a batch, as a broadcast does.
//!
//! `cargo run --release -p beadle-store --example consent_lookup DATA_DIR FIRST_CONTACT PEOPLE`

use beadle_clock::Clock;
use beadle_model::{ConsentState, ContactId, ConversationId, Purpose};
use beadle_store::{Store, StoreConfig};
use beadle_test_support::rng::Rng;
use std::hint::black_box;
use std::time::{Duration, Instant};

const MEASURED_FOR: Duration = Duration::from_secs(2);
/// The people of a batch.
const BATCH: usize = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or(format!("{name} is missing"));
    let (folder, first, people) = (next("DATA_DIR")?, next("FIRST_CONTACT")?, next("PEOPLE")?);
    let (first, people): (i64, u64) = (first.parse()?, people.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(StoreConfig::new(folder, Clock::real()))?;
        let (reader, mut numbers) = (store.reader(), Rng::new(1));
        let purpose = Purpose::MarketingTopic("news".into());
        let mut pick = || first + i64::try_from(numbers.below(people)).unwrap_or_default();

        let (started, mut looked_up, mut granted) = (Instant::now(), 0_u64, 0_u64);
        while started.elapsed() < MEASURED_FOR {
            let view = reader.conversation(ConversationId(pick()))?.ok_or("a person is missing")?;
            granted += u64::from(black_box(view.contact.consent_for(&purpose)).state == ConsentState::Granted);
            looked_up += 1;
        }
        let us = started.elapsed().as_secs_f64() * 1e6;
        println!("by the conversation: {:.3} µs", us / looked_up as f64);
        println!("of them agreed: {:.1} %", granted as f64 * 100.0 / looked_up as f64);

        let (started, mut looked_up) = (Instant::now(), 0_u64);
        while started.elapsed() < MEASURED_FOR {
            let mut batch: Vec<ContactId> = (0..BATCH).map(|_| ContactId(pick())).collect();
            batch.sort_unstable();
            batch.dedup();
            for (_, view) in black_box(reader.conversations_on("shop", &batch)?) {
                let contact = view.ok_or("a person is missing")?.contact;
                black_box(contact.consent_for(&purpose));
                looked_up += 1;
            }
        }
        let us = started.elapsed().as_secs_f64() * 1e6;
        println!("in a batch of {BATCH}: {:.3} µs", us / looked_up as f64);
        Ok(())
    })
}
