//! Downloads inbound files as soon as their message is stored. The platform's ids expire after 7
//! days and its URLs after 5 minutes; plugins see neither.
//!
//! Pending downloads are rows of the store, so none is lost in a crash. A file is written under a
//! temporary name and renamed once it is complete and its hash matches. Files are downloaded only
//! while some plugin has the capability to read them.

use crate::channel::CloudConfig;
use crate::graph::{ChannelError, Graph, HttpClient, RequestBody, error_chain};
use crate::json::Json;
use crate::upload::MediaStore;
use beadle_model::Timestamp;
use beadle_pipeline::SendResponse;
use beadle_store::{FetchOutcome, MediaRow};
use beadle_tasks::Heartbeat;
use reqwest::{Method, Url};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;

/// Concurrent downloads: one slow file does not delay the others, and a slow connection is not
/// overloaded.
const CONCURRENT_DOWNLOADS: usize = 4;
/// How often the loop checks without being notified, in case a plugin is granted the capability.
/// Real time.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Time limit of one download: 100 MB at 2 Mbit/s take 7 minutes. Real time.
const TIMEOUT: Duration = Duration::from_secs(8 * 60);
/// Delays before the second, third, … attempt: for a network glitch, then for outages of minutes
/// and of hours.
const RETRY_DELAYS_MS: [i64; 6] = [2_000, 10_000, 60_000, 10 * 60_000, 60 * 60_000, 6 * 60 * 60_000];
/// How long the platform keeps an inbound file (docs/whatsapp.md#media).
const LIFETIME_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Whether any plugin may read files at present.
pub type FetchWanted = Arc<dyn Fn() -> bool + Send + Sync>;

/// Downloads inbound files for all numbers.
pub struct Fetcher {
    graphs: HashMap<String, (Graph, String)>,
    media_store: MediaStore,
    max_bytes: u64,
    wanted: FetchWanted,
    counts: Arc<FetchCounts>,
}

/// Counters of downloads.
#[derive(Debug, Default)]
pub struct FetchCounts {
    /// Completed downloads.
    pub completed: AtomicU64,
    /// Downloads that were given up.
    pub failed: AtomicU64,
    /// Failed attempts that will be repeated.
    pub retried: AtomicU64,
}

/// Why an attempt failed.
enum FetchError {
    /// It may succeed later.
    Temporary(String),
    /// It never will.
    Permanent(String),
}

impl Fetcher {
    /// Creates a fetcher for these numbers. Files larger than `max_bytes` are not downloaded.
    ///
    /// # Errors
    /// The same as [`crate::CloudChannel::new`].
    pub fn new(
        configs: impl IntoIterator<Item = CloudConfig>,
        client: &HttpClient,
        media_store: MediaStore,
        max_bytes: u64,
        wanted: FetchWanted,
    ) -> Result<Self, ChannelError> {
        let graphs = configs.into_iter().map(|config| {
            let address = (config.graph_url.as_str(), config.graph_version.as_str());
            let graph = Graph::new(&config.name, address, config.access_token, config.timeout, client.clone())?;
            Ok((config.name, (graph, config.phone_number_id)))
        });
        let graphs = graphs.collect::<Result<_, _>>()?;
        Ok(Self { graphs, media_store, max_bytes, wanted, counts: Arc::default() })
    }

    /// The counters.
    pub fn counts(&self) -> Arc<FetchCounts> {
        Arc::clone(&self.counts)
    }

    /// Downloads until the store closes.
    pub async fn run(self: Arc<Self>, heartbeat: Heartbeat) {
        let fetcher = self;
        let mut changes = fetcher.media_store.store.files().changes();
        loop {
            heartbeat.beat();
            let next = {
                let _work = fetcher.media_store.clock.work();
                if (fetcher.wanted)() { fetcher.download_due(&heartbeat).await } else { None }
            };
            let wake_at = next.unwrap_or(Timestamp(i64::MAX));
            let woken = async {
                tokio::select! {
                    changed = changes.changed() => changed.is_ok(),
                    () = fetcher.media_store.clock.sleep_until(wake_at), if next.is_some() => true,
                    () = tokio::time::sleep(POLL_INTERVAL) => true,
                }
            };
            if !heartbeat.idle(woken).await {
                return;
            }
        }
    }

    /// Downloads everything that is due; returns when the next file is due.
    async fn download_due(self: &Arc<Self>, heartbeat: &Heartbeat) -> Option<Timestamp> {
        loop {
            heartbeat.beat();
            let (reader, now) = (self.media_store.store.reader(), self.media_store.clock.now());
            let read = tokio::task::spawn_blocking(move || reader.media_pending(now, CONCURRENT_DOWNLOADS)).await;
            let (due, next) = match read {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "pending downloads unreadable");
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
                fetching.spawn(async move { fetcher.download_row(row).await });
            }
            while fetching.join_next().await.is_some() {}
            if !(self.wanted)() {
                return None;
            }
        }
    }

    async fn download_row(&self, row: MediaRow) {
        let id = row.id;
        let outcome = self.fetch(&row).await;
        let now = self.media_store.clock.now();
        let expired = now.as_ms() - row.created_at.as_ms() > LIFETIME_MS;
        let fetched = match outcome {
            Ok(bytes) => FetchOutcome::Stored(bytes),
            Err(FetchError::Temporary(error)) if !expired => {
                let attempt = usize::try_from(row.attempts).unwrap_or(usize::MAX);
                let delay_ms = RETRY_DELAYS_MS.get(attempt).or(RETRY_DELAYS_MS.last()).copied().unwrap_or(LIFETIME_MS);
                FetchOutcome::Later(now.plus_ms(delay_ms), error)
            }
            Err(FetchError::Temporary(error) | FetchError::Permanent(error)) => FetchOutcome::Failed(error),
        };
        let counter = match &fetched {
            FetchOutcome::Stored(_) => &self.counts.completed,
            FetchOutcome::Later(..) => &self.counts.retried,
            FetchOutcome::Failed(_) => &self.counts.failed,
        };
        counter.fetch_add(1, Relaxed);
        match &fetched {
            FetchOutcome::Failed(error) => tracing::warn!(media = %id, error, "download failed"),
            FetchOutcome::Later(_, error) => tracing::debug!(media = %id, error, "download will be retried"),
            FetchOutcome::Stored(_) => {}
        }
        if let Err(error) = self.media_store.store.settle_media(id, fetched).await {
            // The row is unchanged, so the file is downloaded again.
            tracing::warn!(media = %id, %error, "download result not stored");
        }
    }

    async fn fetch(&self, row: &MediaRow) -> Result<i64, FetchError> {
        let channel = row.channel.as_deref().unwrap_or_default();
        let (graph, number) = self
            .graphs
            .get(channel)
            .ok_or_else(|| FetchError::Temporary(format!("channel `{channel}` is not configured")))?;
        let platform = row.platform.as_deref().unwrap_or_default();
        let mut url = graph.url(&[platform]);
        url.query_pairs_mut().append_pair("phone_number_id", number);
        let response = graph.request(Method::GET, url, RequestBody::Empty).await.map_err(lookup_error)?;
        let tree = Json::parse(&response.body).filter(|_| response.status.is_success());
        let Some(tree) = tree else { return Err(FetchError::Temporary(format!("HTTP {}", response.status))) };
        let size = tree.text_of("file_size").and_then(|size| size.parse::<u64>().ok());
        if size.is_some_and(|size| size > self.max_bytes) {
            return Err(self.too_large());
        }
        let url = tree.text_of("url").and_then(|url| Url::parse(&url).ok());
        let url = url.ok_or_else(|| FetchError::Temporary("the response has no `url`".to_owned()))?;
        if !graph.trusts(&url) {
            return Err(FetchError::Permanent(format!(
                "the file's URL is on an untrusted host, `{}`",
                url.host_str().unwrap_or_default()
            )));
        }
        let hash = tree.string_of("sha256").or_else(|| row.sha256.clone());
        self.download(graph, url, row, hash).await
    }

    async fn download(&self, graph: &Graph, url: Url, row: &MediaRow, hash: Option<String>) -> Result<i64, FetchError> {
        let network = |error: reqwest::Error| FetchError::Temporary(error_chain(&error));
        let disk = |error: std::io::Error| FetchError::Temporary(format!("cannot write the file: {error}"));
        let mut response = graph.authorized(Method::GET, url).timeout(TIMEOUT).send().await.map_err(network)?;
        let status = response.status();
        if !status.is_success() {
            // The URL may have expired; the next attempt gets a new one.
            return Err(FetchError::Temporary(format!("HTTP {status} from the file server")));
        }
        let mut part = self.media_store.store.files().begin(row.id).map_err(disk)?;
        let mut sha = Sha256::new();
        while let Some(chunk) = response.chunk().await.map_err(network)? {
            if part.bytes() + chunk.len() as u64 > self.max_bytes {
                return Err(self.too_large());
            }
            sha.update(&chunk);
            // About ten kilobytes into the page cache: faster than moving to another thread and
            // back.
            part.write(&chunk).map_err(disk)?;
        }
        let found = beadle_model::text::hex(sha.finalize());
        // Webhooks sometimes encode the hash in another way than hex, which is not compared.
        if hash.is_some_and(|hash| hash.len() == found.len() && !hash.eq_ignore_ascii_case(&found)) {
            return Err(FetchError::Temporary("the file's hash does not match".to_owned()));
        }
        let finished = tokio::task::spawn_blocking(move || part.finish()).await;
        let bytes = finished.map_err(|error| FetchError::Temporary(error.to_string()))?.map_err(disk)?;
        Ok(i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    fn too_large(&self) -> FetchError {
        FetchError::Permanent(format!("the file is larger than {} bytes (`[media] max_file_mib`)", self.max_bytes))
    }
}

/// Classifies a failed lookup. An error about the file itself is permanent; one about the token or
/// a permission is not.
fn lookup_error(outcome: SendResponse) -> FetchError {
    match outcome {
        SendResponse::Refused(problem, _) if ["100", "131052", "33"].contains(&problem.code.as_str()) => {
            FetchError::Permanent(format!("{} ({})", problem.title, problem.code))
        }
        SendResponse::Refused(problem, _) => FetchError::Temporary(format!("{} ({})", problem.title, problem.code)),
        SendResponse::NotSent(error) | SendResponse::Ambiguous(error) => FetchError::Temporary(error),
        SendResponse::Accepted(_) => FetchError::Temporary("unexpected response".to_owned()),
    }
}
