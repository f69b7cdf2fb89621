//! Advances the virtual clock in steps, from one due time to the next, of the simulator's own tasks
//! and of the daemon's.
//!
//! Everything that is due at nine must be finished on both sides before the clock reaches ten.
//! Advancing therefore goes to the earliest due time, waits until both sides are idle, and
//! continues from there. With its first poll the daemon says where its state can be queried
//! (`GET …?turn=REV`, its `/api/v1/clock`); without a follower only the simulator's own tasks are
//! awaited. One operation runs at a time.

use crate::hub::Hub;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Real time that both sides may take to become idle after one step; longer than the time-out of a
/// webhook or a hanging request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a clock with a speed is advanced, in real time. The page shows whole seconds.
const TICK: Duration = Duration::from_millis(250);
/// Maximum speed: a day per second. Use `advance` for more.
pub(crate) const MAX_SPEED: f64 = 86_400.0;

/// Why the clock was not changed, or not as far as requested.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClockError {
    #[error("the system clock cannot be changed; start with --clock virtual")]
    SystemClock,
    #[error("{program} did not become idle within {} s; the clock stays at {now_ms}", IDLE_TIMEOUT.as_secs())]
    NotIdle { program: &'static str, now_ms: i64 },
}

/// The daemon's state with respect to the clock.
#[derive(Deserialize)]
struct FollowerState {
    at_rest: bool,
    #[serde(default)]
    next_due_at: Option<i64>,
}

/// Advances to `to_ms`, stopping at every due time until everything due then is finished.
pub(crate) async fn advance(hub: &Hub, to_ms: i64) -> Result<(), ClockError> {
    let _guard = hub.clock_lock.lock().await;
    step_to(hub, to_ms).await
}

/// Sets the clock immediately, forwards or backwards, as after a suspend.
pub(crate) async fn jump(hub: &Hub, to_ms: i64) -> Result<(), ClockError> {
    let _guard = hub.clock_lock.lock().await;
    set(hub, to_ms)
}

/// Lets the clock advance by itself at this speed; 0 stops it.
pub(crate) fn set_speed(hub: &Hub, speed: f64) -> Result<(), ClockError> {
    if !hub.clock.set_speed(speed) {
        return Err(ClockError::SystemClock);
    }
    hub.publish(|| json!({"kind": "clock", "clock": hub.clock.state()}));
    Ok(())
}

/// Advances a clock that has a speed, for as long as the program runs.
pub(crate) async fn run(hub: Arc<Hub>) {
    let (mut last_tick, mut owed_ms) = (Instant::now(), 0.0);
    loop {
        tokio::time::sleep(TICK).await;
        let elapsed_ms = last_tick.elapsed().as_secs_f64() * 1000.0;
        last_tick = Instant::now();
        let state = hub.clock.state();
        if !state.r#virtual || state.speed <= 0.0 {
            owed_ms = 0.0;
            continue;
        }
        let _guard = hub.clock_lock.lock().await;
        owed_ms += elapsed_ms * state.speed;
        // In real time no steps are needed, as with the system clock. A faster clock advances by
        // whole seconds, the resolution of the platform's time stamps.
        let fast = state.speed > 1.0;
        let by_ms = if fast { owed_ms - owed_ms % 1000.0 } else { owed_ms.floor() };
        owed_ms -= by_ms;
        // At maximum speed a tick is six hours.
        let to_ms = hub.clock.now_ms().saturating_add(by_ms as i64);
        let result = if fast { step_to(&hub, to_ms).await } else { set(&hub, to_ms) };
        if let Err(error) = result {
            tracing::warn!(%error, "clock step incomplete");
        }
    }
}

async fn step_to(hub: &Hub, to_ms: i64) -> Result<(), ClockError> {
    loop {
        let next_ms = wait_idle(hub).await?;
        let now_ms = hub.clock.now_ms();
        match next_ms {
            Some(due_ms) if due_ms < to_ms => set(hub, due_ms.max(now_ms))?,
            _ if now_ms < to_ms => set(hub, to_ms)?,
            _ => return Ok(()),
        }
    }
}

/// Waits until both sides are idle and no traffic passed between them meanwhile. Returns the next
/// due time of either.
async fn wait_idle(hub: &Hub) -> Result<Option<i64>, ClockError> {
    let deadline = Instant::now() + IDLE_TIMEOUT;
    let not_idle = |program| ClockError::NotIdle { program, now_ms: hub.clock.now_ms() };
    while Instant::now() < deadline {
        wait_sender_idle(hub, deadline).await.ok_or_else(|| not_idle("the simulator"))?;
        let before = hub.webhook_sender.status().traffic();
        let follower_due_ms = wait_follower_idle(hub, deadline).await.ok_or_else(|| not_idle("the daemon"))?;
        let status = hub.webhook_sender.status();
        let due_ms = hub.webhook_sender.next_due_ms();
        let nothing_due = due_ms.is_none_or(|due_ms| due_ms > hub.clock.now_ms());
        if status.in_flight == 0 && status.traffic() == before && nothing_due {
            return Ok([due_ms, follower_due_ms].into_iter().flatten().min());
        }
    }
    Err(not_idle("the traffic between simulator and daemon"))
}

/// Waits until no update is in flight and nothing is due. `None` if the deadline passes.
async fn wait_sender_idle(hub: &Hub, deadline: Instant) -> Option<()> {
    let mut status = hub.webhook_sender.watch();
    let idle = async {
        loop {
            let _ = status.wait_for(|status| status.in_flight == 0).await;
            // Another task takes what became due; until then it is still the next due time.
            if hub.webhook_sender.next_due_ms().is_none_or(|due_ms| due_ms > hub.clock.now_ms()) {
                return;
            }
            let _ = timeout(Duration::from_millis(1), status.changed()).await;
        }
    };
    timeout(deadline.saturating_duration_since(Instant::now()), idle).await.ok()
}

/// Waits until the daemon has finished everything that the clock made due; returns its next due
/// time. `None` if the deadline passes.
async fn wait_follower_idle(hub: &Hub, deadline: Instant) -> Option<Option<i64>> {
    let Some(follower) = hub.follower() else { return Some(None) };
    let Ok(mut url) = reqwest::Url::parse(&follower) else { return Some(None) };
    url.query_pairs_mut().append_pair("revision", &hub.clock.state().rev.to_string());
    while Instant::now() < deadline {
        let remaining = deadline.saturating_duration_since(Instant::now());
        match hub.client.get(url.clone()).timeout(remaining).send().await {
            Ok(response) => {
                // Otherwise its own wait timed out or it is shutting down: ask again.
                if let Ok(FollowerState { at_rest: true, next_due_at }) = response.json::<FollowerState>().await {
                    return Some(next_due_at);
                }
            }
            // The daemon has stopped. It registers again when it returns.
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

fn set(hub: &Hub, to_ms: i64) -> Result<(), ClockError> {
    if !hub.clock.set(to_ms) {
        return Err(ClockError::SystemClock);
    }
    hub.publish(|| json!({"kind": "clock", "clock": hub.clock.state()}));
    Ok(())
}
