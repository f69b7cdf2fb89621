//! A clock that follows a simulator's: `beadle run --clock URL`.
//!
//! `GET URL?after=REV&follower=OURS` answers `{"now_ms", "rev"}` as soon as its revision is another than REV, or after a
//! while with the same. The daemon's civil time is put where the answer says. OURS is where the simulator can ask whether
//! everything that its last turn set off is done, and when the next thing is due here (`GET /api/v1/clock`), so that it
//! goes from due moment to due moment of both. When the simulator is away, time stands still: that is what it would do
//! anyway, and the daemon goes on with what is due by then.

use beadle_clock::{Activity, Clock, ManualClock};
use beadle_model::Timestamp;
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::watch;

/// The simulator answers a long poll within 30 s; twice that is silence.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Between tries to reach a simulator that is away: soon enough to be taken for at once, seldom enough to be no load.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// For so many tries it is waited for at the start: two processes that are started together come up in any order.
const FIRST_TRIES: u32 = 100;

#[derive(Deserialize)]
struct Face {
    now_ms: i64,
    rev: u64,
}

/// The simulator's clock could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the clock at {url} cannot be read: {why}")]
pub struct Unreadable {
    url: String,
    why: String,
}

/// A clock that somebody else turns.
pub struct Turned {
    hand: ManualClock,
    /// The simulator's revision that the clock shows.
    rev: watch::Receiver<u64>,
}

impl Turned {
    /// Whether all that the turn `rev` (or a later one) set off is done, and what is due next; waits for that for so long.
    pub async fn settled(&self, rev: u64, patience: Duration) -> Activity {
        let mut shown = self.rev.clone();
        let settled = async {
            // The sender ends with the process.
            let _ = shown.wait_for(|shown| *shown >= rev).await;
            self.hand.wait_until_idle().await
        };
        tokio::time::timeout(patience, settled).await.unwrap_or(Activity::Busy)
    }

    /// The revision that it shows.
    pub fn rev(&self) -> u64 {
        *self.rev.borrow()
    }
}

/// A clock that shows what the one at `url` shows, from its first answer on. It follows as long as the process runs.
/// `follower`: where the simulator can ask about us.
pub async fn follow(url: &str, follower: &str) -> Result<(Clock, Turned), Unreadable> {
    let unreadable = |why: String| Unreadable { url: url.to_owned(), why };
    let mut url = reqwest::Url::parse(url).map_err(|why| unreadable(why.to_string()))?;
    url.query_pairs_mut().append_pair("follower", follower);
    let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build();
    let http = http.map_err(|why| unreadable(why.to_string()))?;
    let mut tries = 0;
    let first = loop {
        match look(&http, &url, 0).await {
            Ok(face) => break face,
            Err(why) if tries == FIRST_TRIES => return Err(unreadable(why.to_string())),
            Err(_) => tokio::time::sleep(TRY_AGAIN).await,
        }
        tries += 1;
    };
    let (clock, hand) = Clock::manual(Timestamp(first.now_ms));
    let (shows, rev) = watch::channel(first.rev);
    tokio::spawn(keep_up(http, url, hand.clone(), shows));
    Ok((clock, Turned { hand, rev }))
}

async fn keep_up(http: reqwest::Client, url: reqwest::Url, hand: ManualClock, shows: watch::Sender<u64>) {
    let mut rev = *shows.borrow();
    loop {
        match look(&http, &url, rev).await {
            Ok(face) => {
                rev = face.rev;
                hand.set(Timestamp(face.now_ms));
                shows.send_replace(rev);
            }
            Err(why) => {
                tracing::debug!(%why, "The simulator's clock does not answer; time stands still.");
                tokio::time::sleep(TRY_AGAIN).await;
                // A simulator that was started again counts from the beginning.
                rev = 0;
            }
        }
    }
}

async fn look(http: &reqwest::Client, url: &reqwest::Url, after: u64) -> Result<Face, reqwest::Error> {
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

    /// A simulator's clock: answers when its revision is another than the one asked for.
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
    async fn time_goes_where_the_simulator_puts_it() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (hand, face) = watch::channel((1000, 1));
        let (clock, turned) = follow(&simulator(face).await, "http://nowhere/").await.unwrap();
        assert_eq!(clock.now(), Timestamp(1000));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(Timestamp(5000)).await }
        });
        while turned.settled(1, ANSWER_WITHIN).await != Activity::IdleUntil(Some(Timestamp(5000))) {
            tokio::task::yield_now().await;
        }
        hand.send((5000, 2)).unwrap();
        assert_eq!(turned.settled(2, ANSWER_WITHIN).await, Activity::IdleUntil(None));
        sleeper.await.unwrap();
        assert_eq!((clock.now(), turned.rev()), (Timestamp(5000), 2));
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_told_at_once() {
        let error = follow("not an address", "").await.err().unwrap();
        assert!(error.to_string().starts_with("the clock at not an address cannot be read"), "{error}");
    }
}
