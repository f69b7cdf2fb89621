//! Turning the virtual clock: from due moment to due moment, of ours and of the daemon that follows.
//!
//! What is due at nine has to be done at nine, on both sides, before it is ten. So a turn goes to the earliest moment at
//! which anything is due, waits until everything that this set off has come to rest, and goes on from there. The daemon
//! says with its first look at the clock where it can be asked (`GET …?turn=REV`, see its `/api/v1/clock`); without one only
//! what is ours is waited for. One turn at a time.

use crate::hub::Hub;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// So long everything may take to come to rest after one step, in real time: longer than the time-out of a webhook or of a
/// message that hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a clock that goes by itself is turned, in real time: a page shows seconds, and nobody sees a quarter of one.
const TICK: Duration = Duration::from_millis(250);
/// The fastest: a day in a second. Faster than that is `advance`.
pub(crate) const MOST_SPEED: f64 = 86_400.0;

/// Why a clock was not turned, or not as far.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTurned {
    #[error("this is the machine's clock: start with --clock virtual to turn it")]
    Machine,
    #[error("{who} did not come to rest within {} s at {now_ms}; the clock stays there", PATIENCE.as_secs())]
    Restless { who: &'static str, now_ms: i64 },
}

/// What the daemon answers about its clock.
#[derive(Deserialize)]
struct Answer {
    at_rest: bool,
    #[serde(default)]
    next_due_at: Option<i64>,
}

/// Forwards to `to_ms`, stopping at every moment at which something is due until it is done.
pub(crate) async fn advance(hub: &Hub, to_ms: i64) -> Result<(), NotTurned> {
    let _one_at_a_time = hub.turning.lock().await;
    step_to(hub, to_ms).await
}

/// There at once, forwards or back, as after a suspend.
pub(crate) async fn jump(hub: &Hub, to_ms: i64) -> Result<(), NotTurned> {
    let _one_at_a_time = hub.turning.lock().await;
    put(hub, to_ms)
}

/// From now on it goes by itself, so fast; 0 stands still.
pub(crate) fn set_speed(hub: &Hub, speed: f64) -> Result<(), NotTurned> {
    if !hub.clock.set_speed(speed) {
        return Err(NotTurned::Machine);
    }
    hub.tell(|| json!({"kind": "clock", "clock": hub.clock.face()}));
    Ok(())
}

/// Lets it go by itself for as long as the program runs.
pub(crate) async fn run(hub: Arc<Hub>) {
    let (mut turned_at, mut owed_ms) = (Instant::now(), 0.0);
    loop {
        tokio::time::sleep(TICK).await;
        let elapsed_ms = turned_at.elapsed().as_secs_f64() * 1000.0;
        turned_at = Instant::now();
        let face = hub.clock.face();
        if !face.r#virtual || face.speed <= 0.0 {
            owed_ms = 0.0;
            continue;
        }
        let _one_at_a_time = hub.turning.lock().await;
        owed_ms += elapsed_ms * face.speed;
        // As fast as the machine's it needs no steps: nothing would be waited for there either. Faster it goes by whole
        // seconds, as the platform's time stamps do.
        let hurried = face.speed > 1.0;
        let by_ms = if hurried { owed_ms - owed_ms % 1000.0 } else { owed_ms.floor() };
        owed_ms -= by_ms;
        // A tick at the largest speed is six hours.
        let to_ms = hub.clock.now_ms().saturating_add(by_ms as i64);
        let turned = if hurried { step_to(&hub, to_ms).await } else { put(&hub, to_ms) };
        if let Err(problem) = turned {
            tracing::warn!(%problem, "the clock goes on all the same");
        }
    }
}

async fn step_to(hub: &Hub, to_ms: i64) -> Result<(), NotTurned> {
    loop {
        let next_ms = settled(hub).await?;
        let now_ms = hub.clock.now_ms();
        match next_ms {
            Some(due_ms) if due_ms < to_ms => put(hub, due_ms.max(now_ms))?,
            _ if now_ms < to_ms => put(hub, to_ms)?,
            _ => return Ok(()),
        }
    }
}

/// Waits until nothing is being done on either side, and nothing went from one to the other meanwhile. When something is
/// due next.
async fn settled(hub: &Hub) -> Result<Option<i64>, NotTurned> {
    let until = Instant::now() + PATIENCE;
    let restless = |who| NotTurned::Restless { who, now_ms: hub.clock.now_ms() };
    while Instant::now() < until {
        ours(hub, until).await.ok_or_else(|| restless("the simulator"))?;
        let before = hub.courier.load().traffic();
        let theirs = theirs(hub, until).await.ok_or_else(|| restless("the daemon"))?;
        let load = hub.courier.load();
        let due_ms = hub.courier.next_due_ms();
        if load.open == 0 && load.traffic() == before && due_ms.is_none_or(|due_ms| due_ms > hub.clock.now_ms()) {
            return Ok([due_ms, theirs].into_iter().flatten().min());
        }
    }
    Err(restless("the traffic between simulator and daemon"))
}

/// Nothing of ours is on its way, and what is due was taken up. `None`: not in time.
async fn ours(hub: &Hub, until: Instant) -> Option<()> {
    let mut load = hub.courier.watch();
    let quiet = async {
        loop {
            let _ = load.wait_for(|load| load.open == 0).await;
            // What became due is taken by another task; until it was, it is still the next that is due.
            if hub.courier.next_due_ms().is_none_or(|due_ms| due_ms > hub.clock.now_ms()) {
                return;
            }
            let _ = timeout(Duration::from_millis(1), load.changed()).await;
        }
    };
    timeout(until.saturating_duration_since(Instant::now()), quiet).await.ok()
}

/// The daemon has done all that the clock asked of it by now; when something is due there. `None`: not in time.
async fn theirs(hub: &Hub, until: Instant) -> Option<Option<i64>> {
    let Some(follower) = hub.follower() else { return Some(None) };
    let Ok(mut url) = reqwest::Url::parse(&follower) else { return Some(None) };
    url.query_pairs_mut().append_pair("turn", &hub.clock.face().rev.to_string());
    while Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now());
        match hub.client.get(url.clone()).timeout(left).send().await {
            Ok(answer) => {
                // Else it waited for as long as it waits, or is on its way out: again.
                if let Ok(Answer { at_rest: true, next_due_at }) = answer.json::<Answer>().await {
                    return Some(next_due_at);
                }
            }
            // Gone: nobody is left whose time it could be. It says where it is when it is back.
            Err(error) if error.is_connect() => {
                hub.set_follower(None);
                return Some(None);
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    None
}

fn put(hub: &Hub, to_ms: i64) -> Result<(), NotTurned> {
    if !hub.clock.set(to_ms) {
        return Err(NotTurned::Machine);
    }
    hub.tell(|| json!({"kind": "clock", "clock": hub.clock.face()}));
    Ok(())
}
