//! Floods: many messages from many people, for load tests.

use super::answer::{Answer, ControlError};
use crate::hub::Hub;
use crate::people::NewPerson;
use crate::say::{self, Say, SayError};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Number of messages made while holding the lock, so that sends and receipts are not delayed.
const BURST: u64 = 64;

/// Pause before the next burst if the backlog is full or the rate is reached.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flood {
    /// Number of people, who write in turn. Missing ones are created.
    people: u64,
    /// Total number of messages.
    count: u64,
    /// Messages per second; 0 is as fast as possible.
    #[serde(default)]
    rate: f64,
    /// The text, to which the number of the message is appended.
    #[serde(default = "hello")]
    text: String,
}

fn hello() -> String {
    "hello".to_owned()
}

/// Starts a flood and returns immediately. `GET /control/messages?limit=0` counts its messages,
/// `GET /control/idle` those in flight.
pub(super) async fn start(State(hub): State<Arc<Hub>>, body: Result<Json<Flood>, JsonRejection>) -> Answer {
    let Json(flood) = body?;
    if flood.people == 0 || !flood.rate.is_finite() || flood.rate < 0.0 {
        return Err(ControlError::invalid("`people` must be at least 1, and `rate` must not be negative"));
    }
    let mut names = Vec::new();
    for n in 0..flood.people {
        names.push(member(&hub, n)?);
    }
    let answer = json!({"people": flood.people, "count": flood.count});
    tokio::spawn(run(hub, flood, names));
    Ok(Json(answer))
}

/// The number of the n-th person, 1 555 0000000 and following, which are reserved for fiction.
fn member(hub: &Hub, n: u64) -> Result<String, ControlError> {
    let number = format!("1555{n:07}");
    let mut world = hub.world();
    if world.people.find(&number).is_none() {
        let new =
            NewPerson { name: format!("Crowd {n}"), number: Some(number.clone()), crowd: true, ..NewPerson::default() };
        world.people.add(new).map_err(ControlError::invalid)?;
    }
    Ok(number)
}

async fn run(hub: Arc<Hub>, flood: Flood, names: Vec<String>) {
    let started = Instant::now();
    let mut authors = names.iter().cycle();
    let mut sent = 0;
    while sent < flood.count {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of messages, not negative"
        )]
        let allowed = match flood.rate {
            0.0 => flood.count,
            rate => (started.elapsed().as_secs_f64() * rate) as u64,
        };
        let burst = allowed.min(flood.count).saturating_sub(sent).min(BURST);
        match send_burst(&hub, &flood, &mut authors, sent, burst) {
            Some(done) => sent += done,
            // A reset removed the people.
            None => return,
        }
        if burst < BURST || !hub.webhook_sender.has_capacity(1) {
            tokio::time::sleep(PAUSE).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

/// Makes up to `count` messages; returns their number, which is lower if the backlog is full.
fn send_burst<'a>(
    hub: &Hub,
    flood: &Flood,
    authors: &mut impl Iterator<Item = &'a String>,
    sent: u64,
    count: u64,
) -> Option<u64> {
    let mut world = hub.world();
    for n in 0..count {
        if !hub.webhook_sender.has_capacity(1) {
            return Some(n);
        }
        let text = Some(format!("{} {}", flood.text, sent + n));
        let say = Say { from: authors.next()?.clone(), text, ..Say::default() };
        if let Err(SayError::NotFound(_)) = say::say(hub, &mut world, say) {
            return None;
        }
    }
    Some(count)
}
