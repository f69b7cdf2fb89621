//! One number of the Cloud API: its address and connection, and the store that its files and
//! contacts are in. The part of a channel that sending messages and changing groups share.

use crate::graph::Graph;
use crate::upload::MediaStore;
use beadle_model::Timestamp;
use beadle_pipeline::SendResponse;
use reqwest::Url;

pub(crate) struct Number {
    /// The channel's name in the configuration.
    pub(crate) channel: String,
    /// The platform's `phone_number_id`.
    pub(crate) id: String,
    pub(crate) graph: Graph,
    pub(crate) media_store: Option<MediaStore>,
}

impl Number {
    /// The store; without one, requests that need files or contacts are not sent.
    pub(crate) fn media_store(&self) -> Result<&MediaStore, SendResponse> {
        self.media_store.as_ref().ok_or_else(|| SendResponse::NotSent("the channel has no store".to_owned()))
    }

    /// The address of an edge of this number, such as `media`.
    pub(crate) fn url(&self, edge: &str) -> Url {
        self.graph.url(&[&self.id, edge])
    }

    /// Civil time; the epoch if there is no store.
    pub(crate) fn now(&self) -> Timestamp {
        self.media_store.as_ref().map(|media_store| media_store.clock.now()).unwrap_or_default()
    }

    /// The tag of this installation; empty if there is no store.
    pub(crate) fn install(&self) -> &str {
        self.media_store.as_ref().map(|media_store| media_store.store.install()).unwrap_or_default()
    }
}
