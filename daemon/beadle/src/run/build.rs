//! Construction of the daemon's parts from the configuration: store, sandbox, channels, pipeline,
//! plugins; in this order, because each uses those before it.

use super::error::RunError;
use super::tokens::RotatedTokens;
use crate::config::{App as AppSection, Config};
use crate::web::hooks::Hooks;
use crate::web::opt_in::{OptInForms, OptInParts, OptInSettings};
use crate::web::webhooks::Webhooks;
use beadle_broadcast::Broadcasts;
use beadle_catalog::Catalog;
use beadle_clock::Clock;
use beadle_egress::{Egress, Policies, SystemResolver};
use beadle_gatekeeper::{Gatekeeper, Policy};
use beadle_model::consent::rules::{PeopleRules, WordingTexts};
use beadle_model::keyword::OwnWords;
use beadle_pipeline::{ActiveRevision, Channel, OutboxSettings, Pipeline, Subscriptions, SubscriptionsReceiver};
use beadle_requests::Requests;
use beadle_sandbox::{Sandbox, SandboxConfig};
use beadle_schedule::{Scheduler, Schedules};
use beadle_segments::Segments;
use beadle_store::step::ConsentTopic;
use beadle_store::{Store, StoreConfig};
use beadle_tasks::Tasks;
use beadle_whatsapp::{
    App, AppConfig, ClockCheck, CloudChannel, CloudConfig, FetchWanted, Fetcher, HostClock, HttpClient, MediaStore,
    Numbers, TemplateSync,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::watch;

/// The parts of the daemon.
pub struct Parts {
    /// Supervises all tasks.
    pub tasks: Tasks,
    /// The database.
    pub store: Store,
    /// Loads and runs plugins.
    pub sandbox: Sandbox,
    /// Handles events and sends messages.
    pub pipeline: Pipeline,
    /// The public HTTP side.
    pub webhooks: Arc<Webhooks>,
    /// The form for consent, if it is on.
    pub opt_in: Option<Arc<OptInForms>>,
    /// Hooks of plugins.
    pub hooks: Arc<Hooks>,
    /// What plugins may request, and the client that sends it.
    pub policies: Policies,
    /// The numbers of the channels, for links.
    pub numbers: Arc<Numbers>,
    /// Civil time.
    pub clock: Clock,
    /// Declared attributes and the rules of consent.
    pub people: Arc<PeopleRules>,
    /// Decides what may be sent.
    pub gatekeeper: Gatekeeper,
    /// Who belongs to which segment.
    pub segments: Segments,
    /// Fetches templates.
    pub templates: Arc<TemplateSync>,
    /// Plans and sends broadcasts.
    pub broadcasts: Broadcasts,
    /// Sends durable requests.
    pub requests: Requests,
    /// Whether the host's clock agrees with WhatsApp's.
    pub host_clock: Arc<HostClock>,
    /// Measures it.
    pub clock_check: Arc<ClockCheck>,
    /// Downloads incoming files.
    pub fetcher: Arc<Fetcher>,
    /// The schedules.
    pub schedules: Schedules,
    /// The schedules' loop.
    pub scheduler: Arc<Scheduler>,
}

/// Opens the store and starts the pipeline. Nothing is dispatched until plugins are loaded.
pub fn build(config: &Config, clock: Clock, tasks: &Tasks) -> Result<Parts, RunError> {
    let tasks = tasks.clone();
    let data_dir = &config.daemon.data_dir;
    let store_config = StoreConfig { tasks: tasks.clone(), ..StoreConfig::new(data_dir.clone(), clock.clone()) };
    let store = Store::open(store_config)?;
    let reserve = {
        let store = store.clone();
        Arc::new(move || store.reserve_message())
    };
    let people = people(config);
    let gatekeeper = Gatekeeper::new(store.reader(), gate(config));
    gatekeeper.restore_holds()?;
    let segments = Segments::new(store.reader(), config.segments.clone());
    let policies = policies(config, &store, &clock)?;
    let sandbox_config = SandboxConfig {
        cache_dir: Some(data_dir.join("cache")),
        people: Arc::clone(&people),
        tasks: tasks.clone(),
        gatekeeper: Some(gatekeeper.clone()),
        segments: Some(segments.clone()),
        egress: Some(policies.clone()),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::new(sandbox_config, store.reader(), reserve, store.host_key())?;
    let media_store = MediaStore { store: store.clone(), clock: clock.clone() };
    // Published by the catalog once plugins are loaded; each reader derives what it needs.
    let subscriptions = watch::Sender::new(Arc::<Subscriptions>::default());
    let wanted = wanted(config.media.fetch, subscriptions.subscribe());
    let client = HttpClient::new(&clock)?;
    let host_clock = Arc::clone(client.host_clock());
    let Connections { channels, fetcher, templates, clock_check, numbers } =
        connections(config, &client, &media_store, wanted)?;
    let templates = Arc::new(templates);
    let pipeline = Pipeline::start(
        store.clone(),
        clock.clone(),
        tasks.clone(),
        gatekeeper.clone(),
        outbox(config),
        channels,
        subscriptions,
    )?;
    let apps = apps(config, store.install());
    let webhooks =
        Webhooks::new(apps, pipeline.inbox(), Arc::clone(&templates), clock.clone(), Arc::clone(&host_clock));
    let webhooks = Arc::new(webhooks);
    let parts = beadle_broadcast::Parts {
        store: store.clone(),
        clock: clock.clone(),
        gatekeeper: gatekeeper.clone(),
        outbox: pipeline.outbox().clone(),
        segments: segments.clone(),
        wake: pipeline.broadcasts_changed(),
    };
    let broadcasts = Broadcasts::new(parts, config.broadcasts.clone(), config.channels.keys().cloned().collect());
    let requests = Requests::new(beadle_requests::Parts {
        store: store.clone(),
        clock: clock.clone(),
        policies: policies.clone(),
        subscriptions: pipeline.watch_subscriptions(),
        wake: pipeline.requests_changed(),
        per_plugin: config.egress.limits.per_plugin,
    });
    let opt_in = opt_in(config, &store, &pipeline, &clock);
    let hooks = Hooks::new(store.clone(), pipeline.inbox(), clock.clone(), pipeline.watch_subscriptions());
    hooks.configure(&config.hooks);
    let bell = pipeline.timers_changed();
    let plugins = pipeline.watch_subscriptions();
    let (schedules, scheduler) = Schedules::new(store.clone(), clock.clone(), bell, plugins, config.schedules.clone());
    let (fetcher, scheduler) = (Arc::new(fetcher), Arc::new(scheduler));
    Ok(Parts {
        people,
        tasks,
        store,
        sandbox,
        pipeline,
        webhooks,
        opt_in,
        hooks: Arc::new(hooks),
        policies,
        numbers: Arc::new(numbers),
        clock,
        gatekeeper,
        segments,
        templates,
        broadcasts,
        requests,
        host_clock,
        clock_check: Arc::new(clock_check),
        fetcher,
        schedules,
        scheduler,
    })
}

/// The allow-lists of plugins, and the client that sends under them.
fn policies(config: &Config, store: &Store, clock: &Clock) -> Result<Policies, RunError> {
    let egress = Egress::new(config.egress.clone(), Arc::new(SystemResolver))?;
    let tokens = Arc::new(RotatedTokens(store.clone()));
    let policies = Policies::new(egress, clock.clone(), tokens, tokio::runtime::Handle::current());
    policies.configure(&config.policies);
    Ok(policies)
}

/// The form for consent.
fn opt_in(config: &Config, store: &Store, pipeline: &Pipeline, clock: &Clock) -> Option<Arc<OptInForms>> {
    let form = config.consent_form.clone()?;
    let settings = OptInSettings {
        rules: &config.consents,
        brand: &config.keywords.brand,
        language: config.keywords.language,
        behind_proxy: config.http.behind_proxy,
    };
    let parts = OptInParts { store: store.clone(), pipeline: pipeline.clone(), clock: clock.clone() };
    Some(Arc::new(OptInForms::new(form, &settings, parts)))
}

/// Declared attributes and the rules of consent.
fn people(config: &Config) -> Arc<PeopleRules> {
    Arc::new(PeopleRules { attributes: config.contacts.attributes.clone(), consents: config.consents.clone() })
}

/// Settings of the outbox.
pub fn outbox(config: &Config) -> OutboxSettings {
    OutboxSettings {
        on_ambiguous: config.outbox.on_ambiguous,
        ambiguous_wait_ms: config.outbox.ambiguous_wait_ms,
        max_in_flight: config.outbox.max_in_flight,
        paces: config.channels.iter().map(|(name, channel)| (name.clone(), channel.pace)).collect(),
    }
}

/// The business portfolio of each channel: that of its app.
fn portfolios(config: &Config) -> BTreeMap<String, String> {
    let portfolio = |app: &String| config.apps.get(app).and_then(|app| app.portfolio.clone());
    let portfolio = |app: &String| portfolio(app).unwrap_or_else(|| app.clone());
    config.channels.iter().map(|(name, channel)| (name.clone(), portfolio(&channel.app))).collect()
}

/// Settings of the gate.
pub fn gate(config: &Config) -> Policy {
    Policy {
        timezone: config.daemon.timezone.name().to_string(),
        portfolios: portfolios(config),
        template_language: config
            .gate
            .template_language
            .clone()
            .or_else(|| Some(config.keywords.language.code().to_owned())),
        ..config.gate.clone()
    }
}

/// Files are downloaded while an active revision may read them.
fn wanted(fetch: bool, subscriptions: SubscriptionsReceiver) -> FetchWanted {
    let reads = |active: ActiveRevision| active.plugin.requested_capabilities().contains("media");
    Arc::new(move || {
        fetch && subscriptions.borrow().iter().any(|subscription| subscription.slot.active().is_some_and(reads))
    })
}

/// What talks to the Graph API.
struct Connections {
    channels: Vec<Arc<dyn Channel>>,
    fetcher: Fetcher,
    templates: TemplateSync,
    clock_check: ClockCheck,
    numbers: Numbers,
}

/// The channels, the fetcher of incoming files, that of templates, and the check of the clock.
fn connections(
    config: &Config,
    client: &HttpClient,
    media_store: &MediaStore,
    wanted: FetchWanted,
) -> Result<Connections, RunError> {
    let mut channels: Vec<Arc<dyn Channel>> = Vec::new();
    let mut clouds = Vec::new();
    for (name, channel) in &config.channels {
        // The configuration guarantees that the app exists.
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
        clouds.push((cloud, channel.business_account_id.clone()));
    }
    let known = |(cloud, _): &(CloudConfig, _)| {
        let number = config.channels.get(&cloud.name).and_then(|channel| channel.phone_number.clone());
        (cloud.clone(), number)
    };
    let numbers = Numbers::new(clouds.iter().map(known), client)?;
    let templates = TemplateSync::new(clouds.clone(), client, media_store.clone())?;
    let clock_check = ClockCheck::new(clouds.iter().map(|(cloud, _)| cloud.clone()), client)?;
    let clouds = clouds.into_iter().map(|(cloud, _)| cloud);
    let fetcher = Fetcher::new(clouds, client, media_store.clone(), config.media.max_file_bytes, wanted)?;
    Ok(Connections { channels, fetcher, templates, clock_check, numbers })
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
            own_words: OwnWords::new(own_words(config).filter_map(|(_, texts)| texts.word.as_deref())),
            topics: own_words(config).map(|(id, texts)| topic(id, texts)).collect(),
            language_from_number: config.contacts.language_from_number,
        });
        (name.clone(), made)
    };
    config.apps.iter().map(app).collect()
}

/// The wordings with a word by which people opt in.
fn own_words(config: &Config) -> impl Iterator<Item = (&String, &WordingTexts)> {
    config.consents.wordings.iter().filter(|(_, texts)| texts.word.is_some())
}

fn topic(id: &str, texts: &WordingTexts) -> ConsentTopic {
    ConsentTopic { purpose: texts.purpose.clone(), wordings: texts.wordings(id) }
}

/// The channels of each business account of an app, where accounts are configured.
fn accounts(config: &Config, app: &str) -> HashMap<String, Vec<String>> {
    let mut accounts: HashMap<String, Vec<String>> = HashMap::new();
    for (name, channel) in config.channels.iter().filter(|(_, channel)| channel.app == app) {
        if let Some(account) = &channel.business_account_id {
            accounts.entry(account.clone()).or_default().push(name.clone());
        }
    }
    accounts
}

/// Loads the plugins, and from then on keeps them in line with their folders and the configuration.
pub fn keep_plugins(config: &Config, parts: &Parts) -> Catalog {
    let with = beadle_catalog::Parts {
        sandbox: parts.sandbox.clone(),
        store: parts.store.clone(),
        pipeline: parts.pipeline.clone(),
        clock: parts.clock.clone(),
        data_dir: config.daemon.data_dir.clone(),
        tasks: parts.tasks.clone(),
    };
    Catalog::start(with, plugins(config))
}

/// Settings of the catalogue.
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
