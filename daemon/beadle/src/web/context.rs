//! What the handlers of the admin side work with: the parts of the daemon, and its phase.

use super::hooks::Hooks;
use super::opt_in::OptInForms;
use super::webhooks::Webhooks;
use crate::api::{ChannelState, Problem};
use crate::config::Config;
use crate::follow::FollowedClock;
use beadle_broadcast::Broadcasts;
use beadle_catalog::{Catalog, Entry};
use beadle_clock::Clock;
use beadle_egress::Policies;
use beadle_gatekeeper::Gatekeeper;
use beadle_model::consent::rules::PeopleRules;
use beadle_pipeline::Pipeline;
use beadle_requests::Requests;
use beadle_schedule::Schedules;
use beadle_segments::Segments;
use beadle_store::{Retention, Store};
use beadle_tasks::{OnFailure, TaskKind, Tasks};
use beadle_whatsapp::{HostClock, Numbers, TemplateSync};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The stage of the daemon's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Plugins are being loaded; incoming events are stored.
    Starting,
    /// Events are handled.
    Running,
    /// Work in progress finishes, nothing new is begun.
    Draining,
}

impl Phase {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Draining => "draining",
        }
    }
}

/// The parts that the admin side reports on and acts on.
pub struct Admin {
    /// The database.
    pub store: Store,
    /// Handles events and sends messages.
    pub pipeline: Pipeline,
    /// Civil time.
    pub clock: Clock,
    /// Declared attributes and the rules of consent.
    pub people: Arc<PeopleRules>,
    /// Set where the clock follows a simulator's.
    pub followed: Option<FollowedClock>,
    /// The public side.
    pub webhooks: Arc<Webhooks>,
    /// Sends durable requests.
    pub requests: Requests,
    /// The form for consent, if it is on.
    pub opt_in: Option<Arc<OptInForms>>,
    /// Hooks of plugins.
    pub hooks: Arc<Hooks>,
    /// What plugins may request.
    pub policies: Policies,
    /// The numbers of the channels, for links.
    pub numbers: Arc<Numbers>,
    /// The stage of the daemon's life.
    pub phase: watch::Receiver<Phase>,
    /// The configured channels, as they are while nothing is wrong.
    pub channels: Vec<ChannelState>,
    /// The result of the last reload of the configuration.
    pub config: RwLock<ConfigState>,
    /// The plugins.
    pub catalog: Catalog,
    /// Decides what may be sent.
    pub gatekeeper: Gatekeeper,
    /// Who belongs to which segment.
    pub segments: Segments,
    /// How long data is kept.
    pub retention: watch::Receiver<Retention>,
    /// Fetches templates.
    pub templates: Arc<TemplateSync>,
    /// Whether the host's clock agrees with WhatsApp's.
    pub host_clock: Arc<HostClock>,
    /// Plans and sends broadcasts.
    pub broadcasts: Broadcasts,
    /// The schedules.
    pub schedules: Schedules,
    /// All long-lived tasks.
    pub tasks: Tasks,
    /// When the process started, by the machine's clock.
    pub started_at: i64,
}

/// The result of the last reload of the configuration.
#[derive(Debug, Default)]
pub struct ConfigState {
    /// The error because of which it is not in effect.
    pub problem: Option<Problem>,
    /// Changed keys that take effect after a restart.
    pub waiting: Vec<String>,
    /// Each key with a hash of the value that is in effect.
    pub keys: BTreeMap<String, String>,
    /// Where each key is, as `FILE:LINE`.
    pub lines: BTreeMap<String, String>,
}

/// The configured channels, as they are while nothing is wrong.
pub fn channels(config: &Config) -> Vec<ChannelState> {
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
    /// The stage of the daemon's life.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Why the daemon is unhealthy; empty if it is healthy.
    pub fn health_problems(&self) -> Vec<Problem> {
        let tasks = self.tasks.problems().into_iter();
        let tasks = tasks.map(|problem| Problem { code: problem.code.into(), message: problem.message });
        tasks.chain(self.store_problem()).collect()
    }

    /// Why webhooks cannot be taken and handled; none if they can.
    pub fn readiness_problems(&self) -> Vec<Problem> {
        let needed = |kind: TaskKind| kind == TaskKind::HttpListener || kind.policy().on_failure == OnFailure::Shutdown;
        let tasks = self.tasks.problems().into_iter().filter(|problem| needed(problem.kind));
        let tasks = tasks.map(|problem| Problem { code: problem.code.into(), message: problem.message });
        tasks.chain(self.store_problem()).collect()
    }

    /// Whether the tasks without which there is no daemon make progress.
    pub fn is_alive(&self) -> bool {
        self.tasks.is_alive()
    }

    fn store_problem(&self) -> Option<Problem> {
        let message = self.pipeline.health().problems().into_iter().next()?;
        Some(Problem { code: "store-not-writing".into(), message })
    }

    /// All plugins.
    pub fn entries(&self) -> Arc<[Entry]> {
        self.catalog.entries()
    }
}
