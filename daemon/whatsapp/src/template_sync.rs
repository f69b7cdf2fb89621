//! Fetches the templates of the business accounts, how many people each may write to first, and the
//! quality of the numbers: at start, when a webhook reports a change, and twice a day.
//!
//! No webhook reports the quality of a number, so it is also fetched every five minutes while a
//! broadcast is sent.
//!
//! A start does not wait for it. A failure is repeated at growing intervals and shown by
//! `beadle templates list`; until the first success nothing is known about an account's templates,
//! which is not the same as that it has none.

use crate::channel::CloudConfig;
use crate::graph::{ChannelError, Graph, HttpClient, RequestBody};
use crate::json::Json;
use crate::upload::MediaStore;
use beadle_model::{TemplateDefinition, Timestamp};
use beadle_pipeline::SendResponse;
use beadle_store::Reader;
use beadle_tasks::Heartbeat;
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// Templates in one page.
const PAGE: &str = "100";
/// An account has at most 6,000 templates.
const MAX_PAGES: usize = 100;
/// What is asked for.
const FIELDS: &str = "id,name,language,category,status,quality_score,rejected_reason,parameter_format,components";
/// What is asked for about a number.
const NUMBER_FIELDS: &str = "quality_rating,whatsapp_business_manager_messaging_limit";
/// After failures. Real time.
const RETRY_PAUSES: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(600)];
/// Between two fetches that webhooks ask for: the platform allows 200 requests an hour. Real time.
const MIN_PAUSE: Duration = Duration::from_secs(30);
/// Without any news, for webhooks that were lost. Real time.
const POLL_INTERVAL: Duration = Duration::from_secs(12 * 60 * 60);
/// The quality of numbers while a broadcast is sent. Real time.
const QUALITY_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Fetches templates.
pub struct TemplateSync {
    /// By account: a connection.
    accounts: BTreeMap<String, Graph>,
    numbers: Vec<Number>,
    media_store: MediaStore,
    requested: Notify,
    /// Held while templates are fetched.
    fetching: Mutex<()>,
}

/// The number of a channel with a business account.
struct Number {
    channel: String,
    account: String,
    graph: Graph,
    id: String,
}

/// The result for one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncReport {
    /// The account.
    pub account: String,
    /// The number of its templates, each language counted, or why they could not be fetched.
    pub result: Result<usize, SyncError>,
}

/// Why templates could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyncError(pub String);

impl TemplateSync {
    /// Creates it for these channels and their business accounts, where configured.
    ///
    /// # Errors
    /// The same as [`crate::CloudChannel::new`].
    pub fn new(
        configs: impl IntoIterator<Item = (CloudConfig, Option<String>)>,
        client: &HttpClient,
        media_store: MediaStore,
    ) -> Result<Self, ChannelError> {
        let (mut accounts, mut numbers) = (BTreeMap::new(), Vec::new());
        for (config, account) in configs {
            let Some(account) = account else { continue };
            let address = (config.graph_url.as_str(), config.graph_version.as_str());
            let graph = Graph::new(&config.name, address, config.access_token, config.timeout, client.clone())?;
            accounts.entry(account.clone()).or_insert_with(|| graph.clone());
            numbers.push(Number { channel: config.name, account, graph, id: config.phone_number_id });
        }
        Ok(Self { accounts, numbers, media_store, requested: Notify::new(), fetching: Mutex::default() })
    }

    /// Asks for a fetch soon. Returns at once.
    pub fn request(&self) {
        self.requested.notify_one();
    }

    /// Fetches until the store closes.
    pub async fn run(self: Arc<Self>, heartbeat: Heartbeat) {
        let channels: Vec<(String, String)> =
            self.numbers.iter().map(|number| (number.channel.clone(), number.account.clone())).collect();
        while let Err(error) = self.media_store.store.set_channel_accounts(channels.clone()).await {
            tracing::warn!(%error, "business accounts of the channels not stored, retrying");
            heartbeat.idle(tokio::time::sleep(MIN_PAUSE)).await;
        }
        if self.accounts.is_empty() {
            // There is nothing to do, ever: the configuration of channels is read at start.
            return heartbeat.idle(std::future::pending()).await;
        }
        let mut failures = 0;
        loop {
            heartbeat.beat();
            let reports = heartbeat.idle(self.sync()).await;
            let has_failed = reports.iter().any(|report| report.result.is_err());
            failures = if has_failed { failures + 1 } else { 0 };
            let wait = async {
                match RETRY_PAUSES.get(failures.min(RETRY_PAUSES.len()).wrapping_sub(1)) {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => self.wait_for_request().await,
                }
            };
            heartbeat.idle(wait).await;
        }
    }

    /// Waits for a request or for the interval between two fetches. While a broadcast is sent, it
    /// fetches the quality of the numbers.
    async fn wait_for_request(&self) {
        let requested = async {
            tokio::time::sleep(MIN_PAUSE).await;
            self.requested.notified().await;
        };
        let quality = async {
            loop {
                tokio::time::sleep(QUALITY_INTERVAL).await;
                if self.media_store.store.read(Reader::active_broadcasts).await.is_ok_and(|active| !active.is_empty()) {
                    self.sync_numbers().await;
                }
            }
        };
        tokio::select! {
            () = requested => {}
            () = quality => {}
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }

    /// Fetches the quality and the messaging limit of every number now.
    async fn sync_numbers(&self) {
        let _work = self.media_store.clock.work();
        let store = &self.media_store.store;
        for Number { channel, account, graph, id } in &self.numbers {
            let Some(NumberHealth { quality, messaging_limit }) = number_health(graph, id).await else { continue };
            if let Some(quality) = quality
                && let Err(error) = store.set_channel_quality(channel.clone(), quality).await
            {
                tracing::warn!(channel, %error, "quality of the number not stored");
            }
            if let Some(limit) = messaging_limit
                && let Err(error) = store.set_messaging_limit(account.clone(), limit).await
            {
                tracing::warn!(account, %error, "messaging limit not stored");
            }
        }
    }

    /// Fetches the templates of every account, and the state of every number, now.
    pub async fn sync(&self) -> Vec<SyncReport> {
        let _one_at_a_time = self.fetching.lock().await;
        let _work = self.media_store.clock.work();
        let mut reports = Vec::new();
        for (account, graph) in &self.accounts {
            let began = self.media_store.clock.now();
            let stored = match fetch(graph, account, began).await {
                Ok(templates) => {
                    let count = templates.len();
                    let stored = self.media_store.store.replace_templates(account.clone(), templates, began).await;
                    stored.map(|()| count).map_err(|error| SyncError(error.to_string()))
                }
                Err(error) => {
                    tracing::warn!(account, %error, "templates not fetched");
                    let store = &self.media_store.store;
                    if let Err(error) = store.record_template_fetch_error(account.clone(), error.0.clone()).await {
                        tracing::warn!(account, %error, "failure to fetch templates not stored");
                    }
                    Err(error)
                }
            };
            if let Ok(count) = stored {
                tracing::info!(account, templates = count, "templates fetched");
            }
            reports.push(SyncReport { account: account.clone(), result: stored });
        }
        self.sync_numbers().await;
        reports
    }
}

async fn fetch(graph: &Graph, account: &str, began: Timestamp) -> Result<Vec<TemplateDefinition>, SyncError> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    for _ in 0..MAX_PAGES {
        let mut url = graph.url(&[account, "message_templates"]);
        url.query_pairs_mut().append_pair("limit", PAGE).append_pair("fields", FIELDS);
        if let Some(after) = &after {
            url.query_pairs_mut().append_pair("after", after);
        }
        let response = graph.request(Method::GET, url, RequestBody::Empty).await.map_err(refused)?;
        let body = String::from_utf8_lossy(&response.body);
        let tree = Json::parse(body.as_bytes());
        let Some(data) = tree.as_ref().and_then(|tree| tree.get("data")?.items()) else {
            return Err(refused(graph.unexpected(&response)));
        };
        found.extend(data.iter().filter_map(|template| definition(template, began)));
        let paging = tree.as_ref().and_then(|tree| tree.get("paging"));
        let has_more = paging.is_some_and(|paging| paging.get("next").is_some());
        let next = paging.and_then(|paging| paging.get("cursors")?.string_of("after"));
        if !has_more || next.is_none() || next == after {
            return Ok(found);
        }
        after = next;
    }
    Err(SyncError(format!("the platform lists more than {MAX_PAGES} pages of templates")))
}

/// What the platform says about a number; each is `None` if it says nothing.
#[derive(Debug, PartialEq, Eq)]
struct NumberHealth {
    /// `green`, `yellow` or `red`.
    quality: Option<String>,
    /// How many people the business may write to first in 24 hours; 0: any number.
    messaging_limit: Option<u64>,
}

/// `None` if the request failed.
async fn number_health(graph: &Graph, number: &str) -> Option<NumberHealth> {
    let mut url = graph.url(&[number]);
    url.query_pairs_mut().append_pair("fields", NUMBER_FIELDS);
    let response = graph.request(Method::GET, url, RequestBody::Empty).await.ok()?;
    Some(health_of(&Json::parse(&response.body)?))
}

fn health_of(number: &Json<'_>) -> NumberHealth {
    let quality = number.text_of("quality_rating").map(|rating| rating.to_lowercase());
    let tier = number.text_of("whatsapp_business_manager_messaging_limit");
    NumberHealth {
        // `NA` and `UNKNOWN`: the number has no rating yet.
        quality: quality.filter(|quality| matches!(&**quality, "green" | "yellow" | "red")),
        messaging_limit: tier.and_then(|tier| people_of_tier(&tier)),
    }
}

/// `TIER_250`, `TIER_2K`, `TIER_UNLIMITED`, or a number.
fn people_of_tier(tier: &str) -> Option<u64> {
    let tier = tier.strip_prefix("TIER_").unwrap_or(tier);
    if tier.eq_ignore_ascii_case("UNLIMITED") {
        return Some(0);
    }
    match tier.strip_suffix(['K', 'k']) {
        Some(thousands) => thousands.parse::<u64>().ok()?.checked_mul(1000),
        None => tier.parse().ok(),
    }
}

/// Why a request that reads something failed.
pub(crate) fn refused(response: SendResponse) -> SyncError {
    SyncError(match response {
        SendResponse::Refused(problem, _) => match problem.details {
            Some(details) => format!("{} ({}): {details}", problem.title, problem.code),
            None => format!("{} ({})", problem.title, problem.code),
        },
        SendResponse::NotSent(reason) => format!("the platform could not be reached: {reason}"),
        SendResponse::Ambiguous(reason) => format!("the platform did not answer: {reason}"),
        SendResponse::Accepted(_) => "unexpected response".to_owned(),
    })
}

/// One element of the list; `None` without name, language or status.
fn definition(template: &Json<'_>, began: Timestamp) -> Option<TemplateDefinition> {
    let lower = |key: &str| template.text_of(key).map(|text| text.to_lowercase());
    let named = |format: std::borrow::Cow<'_, str>| format.eq_ignore_ascii_case("named");
    Some(TemplateDefinition {
        platform_id: template.string_of("id").unwrap_or_default(),
        name: template.string_of("name")?,
        language: template.string_of("language")?,
        category: lower("category").unwrap_or_default(),
        status: lower("status")?,
        quality: template
            .get("quality_score")
            .and_then(|quality| quality.text_of("score").map(|score| score.to_lowercase())),
        reason: lower("rejected_reason").filter(|reason| reason != "none"),
        is_named: template.text_of("parameter_format").is_some_and(named),
        components: template.get("components").map_or(Value::Array(Vec::new()), Json::to_value),
        changed_at: began,
    })
}

#[cfg(test)]
mod tests {
    use super::{NumberHealth, health_of, people_of_tier};
    use crate::json::Json;

    #[test]
    fn tiers_are_numbers_of_people() {
        for (tier, expected) in [
            ("TIER_250", Some(250)),
            ("TIER_2K", Some(2000)),
            ("TIER_100K", Some(100_000)),
            ("TIER_UNLIMITED", Some(0)),
            ("2000", Some(2000)),
            ("TIER_NOT_SET", None),
            ("", None),
        ] {
            assert_eq!(people_of_tier(tier), expected, "{tier}");
        }
    }

    #[test]
    fn number_without_a_rating_has_no_quality() {
        for (json, quality, messaging_limit) in [
            (r#"{"quality_rating":"RED"}"#, Some("red"), None),
            (r#"{"quality_rating":"NA","whatsapp_business_manager_messaging_limit":"TIER_2K"}"#, None, Some(2000)),
            (r#"{"quality_rating":"UNKNOWN"}"#, None, None),
            ("{}", None, None),
        ] {
            let health = NumberHealth { quality: quality.map(str::to_owned), messaging_limit };
            assert_eq!(health_of(&Json::parse(json.as_bytes()).unwrap()), health, "{json}");
        }
    }
}
