//! A flood: many people, many messages, for load.

use super::{Answer, Problem};
use crate::hub::Hub;
use crate::people::NewPerson;
use crate::say::{self, Say, Unsaid};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages said under one hold of the lock; sends and receipts get in between.
const AT_ONCE: u64 = 64;

/// How long a flood waits for room in the backlog before it tries again.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flood {
    /// So many people speak in turn; made where they are not there yet.
    people: u64,
    /// So many messages in all.
    count: u64,
    /// A second; 0 is as fast as it goes.
    #[serde(default)]
    rate: f64,
    /// What they say, with the message's number behind it.
    #[serde(default = "hello")]
    text: String,
}

fn hello() -> String {
    "hello".to_owned()
}

/// Starts it and answers at once; `GET /control/messages?limit=0` counts what was said, `GET /control/idle` what is on its way.
pub(super) async fn start(State(hub): State<Arc<Hub>>, body: Result<Json<Flood>, JsonRejection>) -> Answer {
    let Json(flood) = body?;
    if flood.people == 0 || !flood.rate.is_finite() || flood.rate < 0.0 {
        return Err(Problem::wrong("a flood takes at least one person, and a rate that is not negative"));
    }
    let mut names = Vec::new();
    for n in 0..flood.people {
        names.push(member(&hub, n)?);
    }
    let answer = json!({"people": flood.people, "count": flood.count});
    tokio::spawn(pour(hub, flood, names));
    Ok(Json(answer))
}

/// The n-th of the crowd: 1 555 0000000 and on, which are nobody's.
fn member(hub: &Hub, n: u64) -> Result<String, Problem> {
    let number = format!("1555{n:07}");
    let mut world = hub.world();
    if world.people.find(&number).is_none() {
        let new =
            NewPerson { name: format!("Crowd {n}"), number: Some(number.clone()), crowd: true, ..NewPerson::default() };
        world.people.add(new).map_err(Problem::wrong)?;
    }
    Ok(number)
}

async fn pour(hub: Arc<Hub>, flood: Flood, names: Vec<String>) {
    let started = Instant::now();
    let mut speakers = names.iter().cycle();
    let mut said = 0;
    while said < flood.count {
        // Rounding either way is a message more or less within one round.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of messages, not negative"
        )]
        let allowed = match flood.rate {
            0.0 => flood.count,
            rate => (started.elapsed().as_secs_f64() * rate) as u64,
        };
        let now = allowed.min(flood.count).saturating_sub(said).min(AT_ONCE);
        match burst(&hub, &flood, &mut speakers, said, now) {
            Some(done) => said += done,
            // A reset took the crowd away.
            None => return,
        }
        if now < AT_ONCE || !hub.courier.has_room(1) {
            tokio::time::sleep(PAUSE).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

fn burst<'a>(
    hub: &Hub,
    flood: &Flood,
    speakers: &mut impl Iterator<Item = &'a String>,
    said: u64,
    count: u64,
) -> Option<u64> {
    let mut world = hub.world();
    for n in 0..count {
        if !hub.courier.has_room(1) {
            return Some(n);
        }
        let text = Some(format!("{} {}", flood.text, said + n));
        let say = Say { from: speakers.next()?.clone(), text, ..Say::default() };
        if let Err(Unsaid::NotFound(_)) = say::say(hub, &mut world, say) {
            return None;
        }
    }
    Some(count)
}
