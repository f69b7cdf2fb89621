//! Files that come with messages are fetched as soon as the message is stored: the platform's ids live for 7 days, the
//! addresses behind them for 5 minutes, and a plugin should not meet either.
//!
//! What is to be fetched are rows of the store, so a crash forgets none. A file is written beside its place and put there
//! when it is whole and its hash is right. It is fetched only while some plugin has the right to read it: what nobody
//! may see is not kept either.

use crate::channel::Depot;
use crate::graph::{Carries, Graph, story};
use crate::json::Json;
use crate::{ChannelError, CloudConfig};
use beadle_model::Timestamp;
use beadle_pipeline::SendResponse;
use beadle_store::{Fetched, MediaRow};
use reqwest::{Method, Url};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;

/// Fetched at once: enough that one slow file does not hold up the others, few enough for a small line.
const AT_ONCE: usize = 4;
/// How often the loop looks by itself, should a bell be missed or a plugin get the right. Real time.
const BEAT: Duration = Duration::from_secs(5);
/// A whole file: 100 MB at 2 Mbit/s takes 7 minutes. Real time.
const TIMEOUT: Duration = Duration::from_secs(8 * 60);
/// Pauses before the second, third, … try: a slip of the network, a platform that is down for minutes, for hours.
const PAUSES_MS: [i64; 6] = [2_000, 10_000, 60_000, 10 * 60_000, 60 * 60_000, 6 * 60 * 60_000];
/// After so long the platform does not have it any more (whatsapp.md 1.5).
const LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Whether files are wanted now: some plugin may read them.
pub type Wanted = Arc<dyn Fn() -> bool + Send + Sync>;

/// Fetches what comes in, for all numbers.
pub struct Fetcher {
    graphs: HashMap<String, (Graph, String)>,
    depot: Depot,
    most_bytes: u64,
    wanted: Wanted,
    counts: Arc<FetchCounts>,
}

/// What was fetched; they only grow.
#[derive(Debug, Default)]
pub struct FetchCounts {
    /// Files that are here.
    pub here: AtomicU64,
    /// Files that cannot be had.
    pub failed: AtomicU64,
    /// Tries that did not succeed and are made again.
    pub put_off: AtomicU64,
}

/// Why a try did not end with a file.
enum No {
    /// Again, later.
    Later(String),
    /// Never.
    Never(String),
}

impl Fetcher {
    /// For these numbers. Larger files than `most_bytes` are not taken.
    ///
    /// # Errors
    /// As [`crate::CloudChannel::new`].
    pub fn new(
        configs: impl IntoIterator<Item = CloudConfig>,
        client: &reqwest::Client,
        depot: Depot,
        most_bytes: u64,
        wanted: Wanted,
    ) -> Result<Self, ChannelError> {
        let graphs = configs.into_iter().map(|config| {
            let place = (config.graph_url.as_str(), config.graph_version.as_str());
            let graph = Graph::new(&config.name, place, config.access_token, config.timeout, client.clone())?;
            Ok((config.name, (graph, config.phone_number_id)))
        });
        let graphs = graphs.collect::<Result<_, _>>()?;
        Ok(Self { graphs, depot, most_bytes, wanted, counts: Arc::default() })
    }

    /// Its counters.
    pub fn counts(&self) -> Arc<FetchCounts> {
        Arc::clone(&self.counts)
    }

    /// Fetches until it is dropped.
    pub async fn run(self) {
        let fetcher = Arc::new(self);
        let mut changes = fetcher.depot.store.files().changes();
        loop {
            let next = {
                let _work = fetcher.depot.clock.work();
                if (fetcher.wanted)() { fetcher.look().await } else { None }
            };
            let wake_at = next.unwrap_or(Timestamp(i64::MAX));
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = fetcher.depot.clock.sleep_until(wake_at), if next.is_some() => {}
                () = tokio::time::sleep(BEAT) => {}
            }
        }
    }

    /// Fetches all that is due, a few at once. Says when the next one is due.
    async fn look(self: &Arc<Self>) -> Option<Timestamp> {
        loop {
            let (reader, now) = (self.depot.store.reader(), self.depot.clock.now());
            let read = tokio::task::spawn_blocking(move || reader.media_coming(now, AT_ONCE)).await;
            let (due, next) = match read {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "What is to be fetched could not be read: {error}.");
                    return None;
                }
                Err(_) => return None,
            };
            if due.is_empty() {
                return next;
            }
            let mut fetching = JoinSet::new();
            for row in due {
                let fetcher = Arc::clone(self);
                fetching.spawn(async move { fetcher.one(row).await });
            }
            while fetching.join_next().await.is_some() {}
            if !(self.wanted)() {
                return None;
            }
        }
    }

    async fn one(&self, row: MediaRow) {
        let id = row.id;
        let outcome = self.fetch(&row).await;
        let now = self.depot.clock.now();
        let too_old = now.as_ms() - row.created_at.as_ms() > LIFE_MS;
        let fetched = match outcome {
            Ok(bytes) => Fetched::Here(bytes),
            Err(No::Later(why)) if !too_old => {
                let nth = usize::try_from(row.attempts).unwrap_or(usize::MAX);
                let pause_ms = PAUSES_MS.get(nth).or(PAUSES_MS.last()).copied().unwrap_or(LIFE_MS);
                Fetched::Later(now.plus_ms(pause_ms), why)
            }
            Err(No::Later(why) | No::Never(why)) => Fetched::Failed(why),
        };
        let counter = match &fetched {
            Fetched::Here(_) => &self.counts.here,
            Fetched::Later(..) => &self.counts.put_off,
            Fetched::Failed(_) => &self.counts.failed,
        };
        counter.fetch_add(1, Relaxed);
        match &fetched {
            Fetched::Failed(why) => tracing::warn!(%id, "A file that came with a message cannot be had: {why}."),
            Fetched::Later(_, why) => tracing::debug!(%id, "A file is fetched again later: {why}."),
            Fetched::Here(_) => {}
        }
        if let Err(error) = self.depot.store.settle_media(id, fetched).await {
            // The row stays as it was, and is fetched again.
            tracing::warn!(%id, %error, "What became of a file could not be noted: {error}.");
        }
    }

    async fn fetch(&self, row: &MediaRow) -> Result<i64, No> {
        let channel = row.channel.as_deref().unwrap_or_default();
        let (graph, number) = self
            .graphs
            .get(channel)
            .ok_or_else(|| No::Later(format!("channel `{channel}` is not configured any more")))?;
        let platform = row.platform.as_deref().unwrap_or_default();
        let mut url = graph.url(&[platform]);
        url.query_pairs_mut().append_pair("phone_number_id", number);
        let heard = graph.ask(Method::GET, url, Carries::Nothing).await.map_err(refused)?;
        let tree = Json::parse(&heard.text).filter(|_| heard.http.is_success());
        let Some(tree) = tree else { return Err(No::Later(format!("HTTP {}", heard.http))) };
        let size = tree.text_of("file_size").and_then(|size| size.parse::<u64>().ok());
        if size.is_some_and(|size| size > self.most_bytes) {
            return Err(self.too_large());
        }
        let url = tree.text_of("url").and_then(|url| Url::parse(&url).ok());
        let url = url.ok_or_else(|| No::Later("the platform named no address".to_owned()))?;
        if !graph.trusts(&url) {
            return Err(No::Never(format!(
                "the platform named an address on `{}`",
                url.host_str().unwrap_or_default()
            )));
        }
        let hash = tree.string_of("sha256").or_else(|| row.sha256.clone());
        self.download(graph, url, row, hash).await
    }

    async fn download(&self, graph: &Graph, url: Url, row: &MediaRow, hash: Option<String>) -> Result<i64, No> {
        let disk = |error: std::io::Error| No::Later(format!("the disk: {error}"));
        let request = graph.request(Method::GET, url).timeout(TIMEOUT);
        let mut response = request.send().await.map_err(|error| No::Later(story(&error)))?;
        let http = response.status();
        if !http.is_success() {
            // The address lives for five minutes; the next try asks for a new one.
            return Err(No::Later(format!("HTTP {http} from where the file is")));
        }
        let mut part = self.depot.store.files().begin(row.id).map_err(disk)?;
        let mut sha = Sha256::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| No::Later(story(&error)))? {
            if part.bytes() + chunk.len() as u64 > self.most_bytes {
                return Err(self.too_large());
            }
            sha.update(&chunk);
            // Some ten kilobytes into the system's memory: shorter than a hop to another thread and back.
            part.write(&chunk).map_err(disk)?;
        }
        let found: String = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        // In webhooks it is sometimes written otherwise than in hexadecimal digits, and then says nothing to us.
        if hash.is_some_and(|hash| hash.len() == found.len() && !hash.eq_ignore_ascii_case(&found)) {
            return Err(No::Later("its hash is not the one that the platform named".to_owned()));
        }
        let finished = tokio::task::spawn_blocking(move || part.finish()).await;
        let bytes = finished.map_err(|error| No::Later(error.to_string()))?.map_err(disk)?;
        Ok(i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    fn too_large(&self) -> No {
        No::Never(format!("it has more than {} bytes (`[media] max_file_mib`)", self.most_bytes))
    }
}

/// What the platform's "no" means for a file: without a right to it or a token it may still come, without the file not.
fn refused(answer: SendResponse) -> No {
    match answer {
        SendResponse::Refused(problem, _) if ["100", "131052", "33"].contains(&problem.code.as_str()) => {
            No::Never(format!("{} ({})", problem.title, problem.code))
        }
        SendResponse::Refused(problem, _) => No::Later(format!("{} ({})", problem.title, problem.code)),
        SendResponse::NotSent(why) | SendResponse::Ambiguous(why) => No::Later(why),
        SendResponse::Accepted(_) | SendResponse::AcceptedWith(..) => No::Later("no answer".to_owned()),
    }
}
