//! A clock that follows a simulator's: `beadle run --clock URL`.
//!
//! `GET URL?after=REV` answers `{"now_ms", "rev"}` as soon as its revision is another than REV, or after a while with the
//! same. The daemon's civil time is put where the answer says. When the simulator is away, time stands still: that is
//! what it would do anyway, and the daemon goes on with what is due by then.

use beadle_clock::{Clock, Hand};
use beadle_model::Timestamp;
use serde::Deserialize;
use std::time::Duration;

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

/// A clock that shows what the one at `url` shows, from its first answer on. It follows as long as the process runs.
pub async fn follow(url: &str) -> Result<Clock, Unreadable> {
    let unreadable = |why: String| Unreadable { url: url.to_owned(), why };
    let url = reqwest::Url::parse(url).map_err(|why| unreadable(why.to_string()))?;
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
    tokio::spawn(keep_up(http, url, hand, first.rev));
    Ok(clock)
}

async fn keep_up(http: reqwest::Client, url: reqwest::Url, hand: Hand, mut rev: u64) {
    loop {
        match look(&http, &url, rev).await {
            Ok(face) => {
                rev = face.rev;
                hand.set(Timestamp(face.now_ms));
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
        let answer = move |query: axum::extract::Query<std::collections::HashMap<String, u64>>| {
            let mut face = face.clone();
            async move {
                let (now_ms, rev) = *face.wait_for(|face| face.1 != query["after"]).await.unwrap();
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
        let clock = follow(&simulator(face).await).await.unwrap();
        assert_eq!(clock.now(), Timestamp(1000));
        hand.send((5000, 2)).unwrap();
        clock.sleep_until(Timestamp(5000)).await;
        assert_eq!(clock.now(), Timestamp(5000));
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_told_at_once() {
        let error = follow("not an address").await.unwrap_err();
        assert!(error.to_string().starts_with("the clock at not an address cannot be read"), "{error}");
    }
}
