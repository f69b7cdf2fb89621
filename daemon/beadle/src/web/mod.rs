//! HTTP: webhooks from the world, and questions from this machine.
//!
//! Two routers that never meet. The public one takes webhooks and knows nothing else. The admin one, on its own address
//! and on the socket, tells how the daemon is (`/healthz`, `/readyz`, `/metrics`) and answers the command line
//! (`/api/v1`). There is no password: see `guard` for who may ask.

pub mod admin;
mod data;
pub mod failure;
mod guard;
mod metrics;
pub mod serve;
mod story;
mod summary;
pub mod webhooks;

#[cfg(test)]
pub use failure::CODES;

use crate::api::{ChannelState, Problem};
use crate::config::Config;
use crate::run::Turned;
use beadle_catalog::{Catalog, Entry};
use beadle_clock::Clock;
use beadle_pipeline::Pipeline;
use beadle_store::Store;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::watch;
use webhooks::Webhooks;

/// How far the daemon's life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Plugins are being loaded; what comes in is kept.
    Starting,
    /// Everything runs.
    Running,
    /// On the way out.
    Draining,
}

impl Phase {
    /// For people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Draining => "draining",
        }
    }
}

/// What the admin side knows.
pub struct Admin {
    /// The database.
    pub store: Store,
    /// The spine.
    pub pipeline: Pipeline,
    /// Civil time.
    pub clock: Clock,
    /// Where somebody else turns it.
    pub turned: Option<Turned>,
    webhooks: Arc<Webhooks>,
    phase: watch::Receiver<Phase>,
    /// As they are while nothing is wrong with them.
    channels: Vec<ChannelState>,
    /// What became of the last look at the configuration.
    pub config: RwLock<ConfigState>,
    /// The plugins.
    pub catalog: Catalog,
    started_at: i64,
}

/// What became of the last look at the configuration.
#[derive(Debug, Default)]
pub struct ConfigState {
    /// Why it does not take effect.
    pub problem: Option<Problem>,
    /// Keys that were changed and wait for a restart.
    pub waiting: Vec<String>,
    /// What is in effect, or will be: keys, and a hash of what is written there.
    pub keys: BTreeMap<String, String>,
}

fn channels(config: &Config) -> Vec<ChannelState> {
    let channels = config.channels.iter().map(|(name, channel)| ChannelState {
        name: name.clone(),
        app: channel.app.clone(),
        phone_number_id: channel.phone_number_id.clone(),
        business_account_id: channel.business_account_id.clone(),
        state: "open".into(),
    });
    channels.collect()
}

impl Admin {
    /// For a daemon that starts now.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a daemon, each once; a struct for one caller would say it twice"
    )]
    pub fn new(
        config: &Config,
        store: Store,
        pipeline: Pipeline,
        clock: Clock,
        turned: Option<Turned>,
        webhooks: Arc<Webhooks>,
        phase: watch::Receiver<Phase>,
        catalog: Catalog,
    ) -> Self {
        let channels = channels(config);
        // The machine's time: how long a process runs is no matter of the calendar.
        let started_at = Clock::real().now().as_ms();
        let config = RwLock::default();
        Self { store, pipeline, clock, turned, webhooks, phase, channels, config, catalog, started_at }
    }

    /// What became of the last look at the configuration.
    pub fn config_state(&self) -> RwLockReadGuard<'_, ConfigState> {
        self.config.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the daemon's life is.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// What keeps it from making progress; empty where nothing does. While plugins are loaded nothing is dispatched, and
    /// nothing should be.
    pub fn problems(&self) -> Vec<String> {
        if self.phase() == Phase::Starting { Vec::new() } else { self.pipeline.health().problems() }
    }

    /// The line that `systemctl status` shows.
    pub async fn line(&self) -> String {
        data::line(self).await
    }

    fn entries(&self) -> Arc<[Entry]> {
        self.catalog.entries()
    }
}
