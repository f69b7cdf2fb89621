//! A clock that follows a simulator's: `beadle run --clock URL`.
//!
//! `GET URL?after=REV&follower=OURS` answers `{"now_ms", "rev"}` once its revision differs from
//! REV, or after a while with the same one. The daemon's civil time is set to the answer. OURS is
//! the address at which the simulator asks whether everything that its last step set off is done,
//! and when the next thing is due here (`GET /api/v1/clock`); so it advances from due moment to due
//! moment of both. While the simulator does not answer, time stands still.

use beadle_clock::{Activity, Clock, ManualClock};
use beadle_model::Timestamp;
use beadle_tasks::{Heartbeat, TaskKind, Tasks};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The simulator answers a long poll within 30 s; after twice that it is taken to be gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Between attempts to reach a simulator.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Attempts at the start: two processes that are started together come up in any order.
const FIRST_ATTEMPTS: u32 = 100;

#[derive(Deserialize)]
struct ClockState {
    now_ms: i64,
    rev: u64,
}

/// The simulator's clock could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the clock at {url} cannot be read: {error}")]
pub struct ClockUnreadable {
    url: String,
    error: String,
}

/// The clock that is followed.
pub struct FollowedClock {
    manual: ManualClock,
    /// The simulator's revision that the clock shows.
    rev: watch::Receiver<u64>,
}

impl FollowedClock {
    /// Waits until everything that revision `rev` (or a later one) set off is done; at most
    /// `patience`.
    pub async fn settled(&self, rev: u64, patience: Duration) -> Activity {
        let mut revisions = self.rev.clone();
        let settled = async {
            // The sender lives as long as the process.
            let _ = revisions.wait_for(|current| *current >= rev).await;
            self.manual.wait_until_idle().await
        };
        tokio::time::timeout(patience, settled).await.unwrap_or(Activity::Busy)
    }

    /// The revision that it shows.
    pub fn rev(&self) -> u64 {
        *self.rev.borrow()
    }
}

/// A clock that shows what the one at `url` shows, from its first answer until the process ends.
/// `follower` is where the simulator can ask about this daemon.
pub async fn follow(url: &str, follower: &str, tasks: &Tasks) -> Result<(Clock, FollowedClock), ClockUnreadable> {
    let unreadable = |error: String| ClockUnreadable { url: url.to_owned(), error };
    let mut url = reqwest::Url::parse(url).map_err(|error| unreadable(error.to_string()))?;
    url.query_pairs_mut().append_pair("follower", follower);
    let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build();
    let http = http.map_err(|error| unreadable(error.to_string()))?;
    let mut attempts = 0;
    let first = loop {
        match poll(&http, &url, 0).await {
            Ok(state) => break state,
            Err(error) if attempts == FIRST_ATTEMPTS => return Err(unreadable(error.to_string())),
            Err(_) => tokio::time::sleep(RETRY_AFTER).await,
        }
        attempts += 1;
    };
    let (clock, manual) = Clock::manual(Timestamp(first.now_ms));
    let (show, rev) = watch::channel(first.rev);
    let follower = Arc::new(Follower { http, url, manual: manual.clone(), show });
    tasks.spawn(TaskKind::ClockFollower, move |heartbeat| Arc::clone(&follower).run(heartbeat));
    Ok((clock, FollowedClock { manual, rev }))
}

struct Follower {
    http: reqwest::Client,
    url: reqwest::Url,
    manual: ManualClock,
    show: watch::Sender<u64>,
}

impl Follower {
    async fn run(self: Arc<Self>, heartbeat: Heartbeat) {
        let mut rev = *self.show.borrow();
        loop {
            match heartbeat.idle(poll(&self.http, &self.url, rev)).await {
                Ok(state) => {
                    rev = state.rev;
                    self.manual.set(Timestamp(state.now_ms));
                    self.show.send_replace(rev);
                }
                Err(error) => {
                    tracing::debug!(%error, "simulator clock does not answer");
                    tokio::time::sleep(RETRY_AFTER).await;
                    // A simulator that was restarted counts from the beginning.
                    rev = 0;
                }
            }
        }
    }
}

async fn poll(http: &reqwest::Client, url: &reqwest::Url, after: u64) -> Result<ClockState, reqwest::Error> {
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("after", &after.to_string());
    http.get(url).send().await?.error_for_status()?.json().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Json, Router, routing::get};
    use serde_json::json;
    use tokio::sync::watch;

    /// A simulator's clock: answers when its revision differs from the requested one.
    async fn simulator(face: watch::Receiver<(i64, u64)>) -> String {
        let answer = move |query: axum::extract::Query<std::collections::HashMap<String, String>>| {
            let after = query["after"].parse::<u64>().unwrap();
            let mut face = face.clone();
            async move {
                let (now_ms, rev) = *face.wait_for(|face| face.1 != after).await.unwrap();
                Json(json!({"now_ms": now_ms, "rev": rev, "virtual": true}))
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/clock", get(answer))).await });
        format!("http://{address}/clock")
    }

    #[tokio::test]
    async fn time_follows_the_simulator() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (set_time, face) = watch::channel((1000, 1));
        let tasks = Tasks::default();
        let (clock, followed) = follow(&simulator(face).await, "http://nowhere/", &tasks).await.unwrap();
        assert_eq!(clock.now(), Timestamp(1000));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(Timestamp(5000)).await }
        });
        while followed.settled(1, ANSWER_WITHIN).await != Activity::IdleUntil(Some(Timestamp(5000))) {
            tokio::task::yield_now().await;
        }
        set_time.send((5000, 2)).unwrap();
        assert_eq!(followed.settled(2, ANSWER_WITHIN).await, Activity::IdleUntil(None));
        sleeper.await.unwrap();
        assert_eq!((clock.now(), followed.rev()), (Timestamp(5000), 2));
    }

    #[tokio::test]
    async fn invalid_url_is_an_error_at_once() {
        let error = follow("not an address", "", &Tasks::default()).await.err().unwrap();
        assert!(error.to_string().starts_with("the clock at not an address cannot be read"), "{error}");
    }
}
