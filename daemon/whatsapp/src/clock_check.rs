//! Measures the difference of the clocks on purpose: when something suggests that there is one, and
//! again until there is none. Without any traffic it asks for nothing.

use crate::channel::CloudConfig;
use crate::graph::{ChannelError, Graph, HttpClient, RequestBody};
use crate::host_clock::{HostClock, NEEDED};
use beadle_tasks::Heartbeat;
use reqwest::Method;
use std::sync::Arc;
use std::time::Duration;

/// Between two measurements that are made on purpose. Real time.
const MIN_PAUSE: Duration = Duration::from_secs(60);

/// Measures the difference of the clocks.
pub struct ClockCheck {
    host_clock: Arc<HostClock>,
    /// A connection, and the id of its number.
    number: Option<(Graph, String)>,
}

impl ClockCheck {
    /// Asks by the first of these channels.
    ///
    /// # Errors
    /// The same as [`crate::CloudChannel::new`].
    pub fn new(configs: impl IntoIterator<Item = CloudConfig>, client: &HttpClient) -> Result<Self, ChannelError> {
        let number = match configs.into_iter().next() {
            Some(config) => {
                let address = (config.graph_url.as_str(), config.graph_version.as_str());
                let graph = Graph::new(&config.name, address, config.access_token, config.timeout, client.clone())?;
                Some((graph, config.phone_number_id))
            }
            None => None,
        };
        Ok(Self { host_clock: Arc::clone(client.host_clock()), number })
    }

    /// Measures until it is dropped.
    pub async fn run(self: Arc<Self>, heartbeat: Heartbeat) {
        let Some((graph, id)) = &self.number else { return heartbeat.idle(std::future::pending()).await };
        loop {
            heartbeat.beat();
            if !self.host_clock.difference().is_some_and(|difference| difference.is_problem) {
                heartbeat.idle(self.host_clock.suspected.notified()).await;
            }
            for _ in 0..NEEDED {
                let mut url = graph.url(&[id]);
                url.query_pairs_mut().append_pair("fields", "id");
                // A refusal has a date, too.
                let _ = heartbeat.idle(graph.request(Method::GET, url, RequestBody::Empty)).await;
            }
            heartbeat.idle(tokio::time::sleep(MIN_PAUSE)).await;
        }
    }
}
