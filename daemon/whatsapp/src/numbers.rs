//! The phone numbers of the channels, which people write to: configured, or asked of the platform
//! when they are needed.

use crate::channel::CloudConfig;
use crate::graph::{ChannelError, Graph, HttpClient, RequestBody};
use crate::json::Json;
use crate::template_sync::refused;
use beadle_model::phone::WrittenNumber;
use beadle_model::{Blame, Coded};
use parking_lot::Mutex;
use reqwest::Method;
use std::collections::BTreeMap;

/// The requested field.
const FIELD: &str = "display_phone_number";

/// The numbers of the channels.
pub struct Numbers {
    channels: BTreeMap<String, (Graph, String)>,
    /// Known numbers, by channel.
    known: Mutex<BTreeMap<String, String>>,
}

/// The number of a channel is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the phone number of channel `{channel}` is not known: {reason}; set `phone_number` in `[channels.{channel}]`")]
pub struct NumberUnknown {
    /// The channel.
    pub channel: String,
    /// Why the platform did not say it.
    pub reason: String,
}

impl NumberUnknown {
    /// Its code, for the list of all codes.
    pub const CODE: &'static str = "number-unknown";
}

impl Coded for NumberUnknown {
    fn code(&self) -> &'static str {
        Self::CODE
    }

    fn blame(&self) -> Blame {
        Blame::Operator
    }
}

impl Numbers {
    /// Creates it for these channels and their configured numbers.
    ///
    /// # Errors
    /// The same as [`crate::CloudChannel::new`].
    pub fn new(
        configs: impl IntoIterator<Item = (CloudConfig, Option<String>)>,
        client: &HttpClient,
    ) -> Result<Self, ChannelError> {
        let (mut channels, mut known) = (BTreeMap::new(), BTreeMap::new());
        for (config, number) in configs {
            let address = (config.graph_url.as_str(), config.graph_version.as_str());
            let graph = Graph::new(&config.name, address, config.access_token, config.timeout, client.clone())?;
            known.extend(number.map(|number| (config.name.clone(), number)));
            channels.insert(config.name, (graph, config.phone_number_id));
        }
        Ok(Self { channels, known: Mutex::new(known) })
    }

    /// The number of a channel, as digits with country code.
    pub async fn number(&self, channel: &str) -> Result<String, NumberUnknown> {
        if let Some(number) = self.known.lock().get(channel) {
            return Ok(number.clone());
        }
        let unknown = |reason: &str| NumberUnknown { channel: channel.to_owned(), reason: reason.to_owned() };
        let (graph, id) = self.channels.get(channel).ok_or_else(|| unknown("there is no such channel"))?;
        let mut url = graph.url(&[id]);
        url.query_pairs_mut().append_pair("fields", FIELD);
        let response = graph.request(Method::GET, url, RequestBody::Empty).await;
        let response = response.map_err(|failed| unknown(&refused(failed).0))?;
        let text = Json::parse(&response.body).and_then(|answer| Some(answer.text_of(FIELD)?.into_owned()));
        let number = text.as_deref().and_then(WrittenNumber::parse);
        let number = number.ok_or_else(|| unknown("WhatsApp's answer does not contain it"))?.digits;
        self.known.lock().insert(channel.to_owned(), number.clone());
        Ok(number)
    }
}
