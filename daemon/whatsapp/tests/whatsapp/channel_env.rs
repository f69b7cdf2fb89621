//! Fixtures for tests of a channel: its configuration towards a fake Graph API, and a store with a
//! manual clock.

use beadle_clock::{Clock, ManualClock};
use beadle_model::{Alias, AliasKind, MessageId, Outgoing};
use beadle_pipeline::SendRequest;
use beadle_store::{Store, StoreConfig};
use beadle_test_support::graph::FakeGraph;
use beadle_whatsapp::{CloudChannel, CloudConfig, HttpClient, MediaStore, Secret};

pub use crate::webhook_env::{NOW, NUMBER};

pub const TOKEN: &str = "EAAJB-very-secret";

pub fn config(graph_url: &str) -> CloudConfig {
    CloudConfig {
        name: "shop".into(),
        app: "main".into(),
        graph_url: graph_url.to_owned(),
        graph_version: "v26.0".into(),
        phone_number_id: NUMBER.into(),
        access_token: Secret::new(TOKEN),
        timeout: CloudConfig::TIMEOUT,
    }
}

pub fn channel(graph: &FakeGraph) -> CloudChannel {
    CloudChannel::new(config(&graph.url), HttpClient::new(&Clock::real()).unwrap()).unwrap()
}

/// A message to a person.
pub fn send_request(body: Outgoing) -> SendRequest {
    SendRequest {
        message: MessageId(7),
        to: Alias { kind: AliasKind::WaId, value: "16505551234".into() },
        group: None,
        body,
        callback: "msg_7@c0ffee11".into(),
    }
}

/// A store in a temporary directory, with a manual clock at [`NOW`].
pub struct StoreEnv {
    _dir: tempfile::TempDir,
    pub store: Store,
    pub clock: Clock,
    pub manual_clock: ManualClock,
}

impl StoreEnv {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, manual_clock) = Clock::manual(NOW);
        let config = StoreConfig { ballast_bytes: 0, readers: 2, ..StoreConfig::new(dir.path(), clock.clone()) };
        Self { store: Store::open(config).unwrap(), _dir: dir, clock, manual_clock }
    }

    pub fn media_store(&self) -> MediaStore {
        MediaStore { store: self.store.clone(), clock: self.clock.clone() }
    }
}
