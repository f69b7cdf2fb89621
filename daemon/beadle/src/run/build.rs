//! From a configuration to the parts that run: store, sandbox, channels, pipeline, plugins. In this order, since each
//! holds on to those before it.

use super::RunError;
use crate::config::{App as AppSection, Config};
use crate::web::webhooks::{WebhookCounts, Webhooks};
use beadle_catalog::Catalog;
use beadle_clock::Clock;
use beadle_model::EventKind;
use beadle_pipeline::{Channel, OutboxSettings, Pipeline};
use beadle_sandbox::{Sandbox, SandboxConfig};
use beadle_schedule::{Present, Scheduler, Schedules};
use beadle_store::{Store, StoreConfig};
use beadle_whatsapp::{App, AppConfig, CloudChannel, CloudConfig, FetchWanted, Fetcher, MediaStore, http_client};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

/// Everything that runs.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// What runs plugins; also what loads them.
    pub sandbox: Sandbox,
    /// The spine.
    pub pipeline: Pipeline,
    /// The public side.
    pub webhooks: Arc<Webhooks>,
    /// Civil time.
    pub clock: Clock,
    /// Fetches the files that come in, once it is started.
    pub fetcher: Option<Fetcher>,
    /// The schedules.
    pub schedules: Schedules,
    /// Keeps them, once it is started.
    pub scheduler: Option<Scheduler>,
}

/// Opens the store and starts the pipeline; no plugin is loaded yet, so nothing is dispatched.
pub fn build(config: &Config, clock: Clock) -> Result<Parts, RunError> {
    let data_dir = &config.daemon.data_dir;
    let store = Store::open(StoreConfig::new(data_dir.clone(), clock.clone()))?;
    let reserve = {
        let store = store.clone();
        Arc::new(move || store.reserve_message())
    };
    let sandbox_config = SandboxConfig { cache_dir: Some(data_dir.join("cache")), ..SandboxConfig::default() };
    let sandbox = Sandbox::new(sandbox_config, store.reader(), reserve, store.host_key())?;
    let media_store = MediaStore { store: store.clone(), clock: clock.clone() };
    // The fetcher asks the pipeline who runs, and the pipeline needs the channels first.
    let running: Arc<OnceLock<Pipeline>> = Arc::default();
    let (channels, fetcher) = channels(config, &media_store, wanted(config.media.fetch, Arc::clone(&running)))?;
    let pipeline = Pipeline::start(store.clone(), clock.clone(), outbox(config), channels)?;
    let _ = running.set(pipeline.clone());
    let webhooks = Arc::new(Webhooks {
        apps: apps(config, store.install()),
        inbox: pipeline.inbox(),
        clock: clock.clone(),
        counts: WebhookCounts::default(),
    });
    let bell = pipeline.timers_changed();
    let (schedules, scheduler) =
        Schedules::new(store.clone(), clock.clone(), bell, present(pipeline.clone()), config.schedules.clone());
    let (fetcher, scheduler) = (Some(fetcher), Some(scheduler));
    Ok(Parts { store, sandbox, pipeline, webhooks, clock, fetcher, schedules, scheduler })
}

/// What the configuration says of sending.
pub fn outbox(config: &Config) -> OutboxSettings {
    OutboxSettings {
        on_ambiguous: config.outbox.on_ambiguous,
        ambiguous_wait_ms: config.outbox.ambiguous_wait_ms,
        max_in_flight: config.outbox.max_in_flight,
        paces: config.channels.iter().map(|(name, channel)| (name.clone(), channel.pace)).collect(),
    }
}

/// The plugins that schedules can fire for now.
fn present(pipeline: Pipeline) -> Present {
    Arc::new(move || {
        let subscriptions = pipeline.subscriptions();
        let listening = subscriptions.iter().filter(|member| member.slot.exports(EventKind::Schedule));
        listening.map(|member| member.slot.no()).collect()
    })
}

/// Files are fetched while somebody who runs may read them.
fn wanted(fetch: bool, running: Arc<OnceLock<Pipeline>>) -> FetchWanted {
    let may_read = |pipeline: &Pipeline| {
        let reads =
            |serving: beadle_pipeline::ActiveRevision| serving.plugin.requested_capabilities().contains("media");
        pipeline.subscriptions().iter().any(|member| member.slot.active().is_some_and(reads))
    };
    Arc::new(move || fetch && running.get().is_some_and(may_read))
}

/// The channels that send, and what fetches the files that come in.
fn channels(
    config: &Config,
    media_store: &MediaStore,
    wanted: FetchWanted,
) -> Result<(Vec<Arc<dyn Channel>>, Fetcher), RunError> {
    let client = http_client()?;
    let mut channels: Vec<Arc<dyn Channel>> = Vec::new();
    let mut clouds = Vec::new();
    for (name, channel) in &config.channels {
        // The configuration holds that the app is there.
        let Some(app) = config.apps.get(&channel.app) else { continue };
        let cloud = CloudConfig {
            name: name.clone(),
            app: channel.app.clone(),
            graph_url: app.graph_url.clone(),
            graph_version: app.graph_version.clone(),
            phone_number_id: channel.phone_number_id.clone(),
            access_token: app.access_token.clone(),
            timeout: CloudConfig::TIMEOUT,
        };
        channels
            .push(Arc::new(CloudChannel::new(cloud.clone(), client.clone())?.with_media_store(media_store.clone())));
        clouds.push(cloud);
    }
    let fetcher = Fetcher::new(clouds, &client, media_store.clone(), config.media.max_file_bytes, wanted)?;
    Ok((channels, fetcher))
}

fn apps(config: &Config, install: &str) -> BTreeMap<String, App> {
    let app = |(name, app): (&String, &AppSection)| {
        let channels = config.channels.iter().filter(|(_, channel)| channel.app == *name);
        let made = App::new(AppConfig {
            name: name.clone(),
            verify_token: app.verify_token.clone(),
            app_secret: app.app_secret.clone(),
            channels: channels.map(|(name, channel)| (channel.phone_number_id.clone(), name.clone())).collect(),
            accounts: accounts(config, name),
            install: install.to_owned(),
            brand: config.keywords.brand.clone(),
            language: config.keywords.language,
            language_from_number: config.contacts.language_from_number,
        });
        (name.clone(), made)
    };
    config.apps.iter().map(app).collect()
}

/// The channels of each account of an app, where the configuration names it.
fn accounts(config: &Config, app: &str) -> HashMap<String, Vec<String>> {
    let mut accounts: HashMap<String, Vec<String>> = HashMap::new();
    for (name, channel) in config.channels.iter().filter(|(_, channel)| channel.app == app) {
        if let Some(account) = &channel.business_account_id {
            accounts.entry(account.clone()).or_default().push(name.clone());
        }
    }
    accounts
}

/// New groups are asked for in a conversation with nobody, which each channel has.
pub async fn meet_channels(config: &Config, store: &Store) -> Result<(), RunError> {
    for name in config.channels.keys() {
        if store.reader().channel_conversation(name)?.is_none()
            && let Err(error) = store.create_channel_conversation(name).await
        {
            // On a full disk: groups cannot be asked for until the next start, all else goes on.
            tracing::warn!(channel = name, %error, "The channel has no conversation for new groups yet: {error}.");
        }
    }
    Ok(())
}

/// Starts to load the plugins, and from then on keeps them in line with their folders and the configuration.
pub fn keep_plugins(config: &Config, parts: &Parts) -> Catalog {
    let with = beadle_catalog::Parts {
        sandbox: parts.sandbox.clone(),
        store: parts.store.clone(),
        pipeline: parts.pipeline.clone(),
        clock: parts.clock.clone(),
        data_dir: config.daemon.data_dir.clone(),
    };
    Catalog::start(with, plugins(config))
}

/// What the configuration says of plugins.
pub fn plugins(config: &Config) -> beadle_catalog::Config {
    beadle_catalog::Config {
        dirs: config.daemon.plugin_dirs.clone(),
        plugins: config.plugins.clone(),
        poll_interval_ms: config.daemon.poll_interval_ms,
        folder_grace_ms: config.daemon.folder_grace_ms,
        startup_timeout_ms: config.daemon.startup_timeout_ms,
        keep_removed_ms: config.retention_removed_ms,
    }
}
