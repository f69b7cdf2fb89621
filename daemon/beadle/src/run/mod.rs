//! The lifecycle of the daemon: start, run, drain, stop.
//!
//! Addresses are opened before plugins are loaded, so that no webhook is refused during a start;
//! what arrives early is stored and waits. A stop goes the other way round: the public listener
//! closes, work in progress may finish until a deadline, and the rest is continued by the next
//! process. A second signal stops at once, which is always safe: nothing that matters is only in
//! memory.
//!
//! Every long-lived task is spawned under `beadle_tasks`; a failure of one that cannot be restarted
//! stops the daemon with its reason.

mod build;
mod error;
pub mod logging;
mod private;
mod reload;
mod signals;
mod sockets;
mod systemd;
mod tokens;
mod upkeep;

#[cfg(test)]
pub use error::CODES;
pub use error::RunError;

use crate::cli::RunArgs;
use crate::config::{self, ApiAccess, Config, Environment, Loaded};
use crate::exit::Exit;
use crate::follow::{self, FollowedClock};
use crate::web::serve::{Accept, Connections, Limits, Server};
use crate::web::{self, Admin, Phase};
use beadle_catalog::Catalog;
use beadle_clock::Clock;
use beadle_model::{Coded as _, LeadTimes};
use beadle_schedule::Windows;
use beadle_store::Retention;
use beadle_tasks::{TaskKind, Tasks};
use build::Parts;
use signals::Signals;
use sockets::{Cleanup, Sockets};
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::sync::{Mutex, watch};

/// Time for work in progress to finish. With closing, a stop takes 10 s at most. Real time.
const DRAIN_WITHIN: Duration = Duration::from_secs(8);
/// Time for answers that are being written, and after them for the database. Real time.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// A start waits this long for the schedules to take effect, so that the API knows them from the
/// beginning. On a full disk they take effect later. Real time.
const SCHEDULES_WITHIN: Duration = Duration::from_secs(5);

/// `beadle run`. An invalid configuration ends it with exit code 2, which systemd does not retry.
pub async fn command(args: &RunArgs) -> Exit {
    let loaded = match config::load(&args.config.config, &Environment::process()) {
        Ok(loaded) => loaded,
        Err(invalid) => {
            eprint!("{}", invalid.render(std::io::stderr().is_terminal()));
            return Exit::Usage;
        }
    };
    logging::start(&loaded.config.log);
    match run(loaded, args.clock.as_deref(), |_| {}).await {
        Ok(()) => Exit::Ok,
        Err(error) => {
            tracing::error!(code = error.code(), %error, "daemon failed");
            Exit::Failed
        }
    }
}

/// Runs until a signal or a failure. `ready` is called once everything runs.
pub async fn run(loaded: Loaded, clock_url: Option<&str>, ready: impl FnOnce(&Config)) -> Result<(), RunError> {
    let failed = |error| RunError::Listen { key: "signals", address: "SIGTERM and SIGINT".into(), error };
    let mut signals = Signals::listen().map_err(failed)?;
    for warning in &loaded.warnings {
        tracing::warn!(code = warning.code(), warning = warning.line(&loaded.sources), "configuration");
    }
    let config = &loaded.config;
    private::restrict_new_files();
    private::check(&config.daemon.data_dir);
    let tasks = Tasks::default();
    let starting = async {
        let sockets = Sockets::open(config).await?;
        let (clock, followed) = match clock_url {
            Some(url) => {
                let (clock, followed) = follow::follow(url, &sockets.clock_url(), &tasks).await?;
                (clock, Some(followed))
            }
            None => (Clock::real(), None),
        };
        Ok::<_, RunError>((sockets, build::build(config, clock, &tasks)?, followed))
    };
    let (sockets, parts, followed) = tokio::select! {
        started = starting => started?,
        () = signals.next() => return Ok(()),
    };
    let _cleanup = Cleanup(config.admin.socket.clone());
    let channels: Vec<String> = config.channels.keys().cloned().collect();
    tasks.spawn(TaskKind::ChannelSetup, {
        let (store, people) = (parts.store.clone(), Arc::clone(&parts.people));
        move |heartbeat| {
            let (channels, store, people) = (channels.clone(), store.clone(), Arc::clone(&people));
            async move {
                upkeep::keep_consent_texts(&people, &store, &heartbeat).await;
                upkeep::create_channel_conversations(channels, store, heartbeat).await;
            }
        }
    });
    let catalog = build::keep_plugins(config, &parts);
    let running = Running::start(config, sockets, &parts, catalog.clone(), followed);
    let started = async {
        catalog.started().await;
        if tokio::time::timeout(SCHEDULES_WITHIN, parts.schedules.started()).await.is_err() {
            tracing::warn!("schedules are not in effect yet");
        }
    };
    let ended = tokio::select! {
        () = started => {
            ready(config);
            running.watch_windows(&parts);
            running.watch_configuration(loaded, &parts, catalog, signals.hangup.take());
            running.until_stopped(&parts, &mut signals).await
        }
        failure = tasks.failure() => Err(failure.into()),
        () = signals.next() => Ok(()),
    };
    let stopped = running.admin.catalog.clone();
    running.end(parts, &mut signals).await;
    stopped.stopped();
    ended
}

/// The daemon while it runs.
struct Running {
    admin: Arc<Admin>,
    tasks: Tasks,
    retention: watch::Sender<Retention>,
    leads: watch::Sender<LeadTimes>,
    phase: watch::Sender<Phase>,
    stop_http: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    connections: Vec<Connections>,
}

impl Running {
    fn start(
        config: &Config,
        sockets: Sockets,
        parts: &Parts,
        catalog: Catalog,
        followed: Option<FollowedClock>,
    ) -> Self {
        let (phase, phases) = watch::channel(Phase::Starting);
        let (retention, policy) = watch::channel(config.retention);
        let admin = Arc::new(Admin {
            store: parts.store.clone(),
            pipeline: parts.pipeline.clone(),
            clock: parts.clock.clone(),
            people: Arc::clone(&parts.people),
            followed,
            webhooks: Arc::clone(&parts.webhooks),
            opt_in: parts.opt_in.clone(),
            hooks: Arc::clone(&parts.hooks),
            policies: parts.policies.clone(),
            numbers: Arc::clone(&parts.numbers),
            phase: phases,
            channels: web::channels(config),
            config: Default::default(),
            catalog,
            templates: Arc::clone(&parts.templates),
            host_clock: Arc::clone(&parts.host_clock),
            gatekeeper: parts.gatekeeper.clone(),
            segments: parts.segments.clone(),
            retention: policy.clone(),
            broadcasts: parts.broadcasts.clone(),
            requests: parts.requests.clone(),
            schedules: parts.schedules.clone(),
            tasks: parts.tasks.clone(),
            // The machine's time: a simulated calendar does not change how long a process runs.
            started_at: Clock::real().now().as_ms(),
        });
        let mut running = Self {
            admin,
            tasks: parts.tasks.clone(),
            retention,
            leads: watch::Sender::new(config.windows.clone()),
            phase,
            stop_http: watch::Sender::new(false),
            stop_admin: watch::Sender::new(false),
            connections: Vec::new(),
        };
        running.listen(config, sockets, parts);
        running.spawn_upkeep(parts, policy);
        running
    }

    fn listen(&mut self, config: &Config, sockets: Sockets, parts: &Parts) {
        let mut public = web::webhooks::router(Arc::clone(&parts.webhooks));
        public = public.merge(web::hooks::router(Arc::clone(&parts.hooks)));
        if let Some(forms) = &parts.opt_in {
            public = public.merge(web::opt_in::router(Arc::clone(forms)));
        }
        let router = |access| web::admin::router(Arc::clone(&self.admin), access);
        let (on_tcp, on_socket) = (router(config.admin.api), router(ApiAccess::Open));
        let (http, admin) = (self.stop_http.subscribe(), self.stop_admin.subscribe());
        self.serve(TaskKind::HttpListener, Server::new(sockets.http, public, Limits::PUBLIC, http));
        if let Some(listener) = sockets.admin {
            self.serve(TaskKind::AdminListener, Server::new(listener, on_tcp, Limits::ADMIN, admin.clone()));
        }
        self.serve(TaskKind::SocketListener, Server::new(sockets.local, on_socket, Limits::ADMIN, admin));
    }

    fn serve<L: Accept>(&mut self, kind: TaskKind, server: Server<L>) {
        self.connections.push(server.connections());
        let server = Arc::new(server);
        self.tasks.spawn(kind, move |heartbeat| Arc::clone(&server).accept(heartbeat));
    }

    fn spawn_upkeep(&self, parts: &Parts, policy: watch::Receiver<Retention>) {
        let admin = Arc::clone(&self.admin);
        self.tasks.spawn(TaskKind::Watchdog, move |heartbeat| upkeep::watch(Arc::clone(&admin), heartbeat));
        let admin = Arc::clone(&self.admin);
        self.tasks
            .spawn(TaskKind::Retention, move |heartbeat| upkeep::clean(Arc::clone(&admin), policy.clone(), heartbeat));
        let admin = Arc::clone(&self.admin);
        self.tasks.spawn(TaskKind::Privacy, move |heartbeat| crate::privacy::run(Arc::clone(&admin), heartbeat));
        let fetcher = Arc::clone(&parts.fetcher);
        self.tasks.spawn(TaskKind::Media, move |heartbeat| Arc::clone(&fetcher).run(heartbeat));
        let templates = Arc::clone(&parts.templates);
        self.tasks.spawn(TaskKind::Templates, move |heartbeat| Arc::clone(&templates).run(heartbeat));
        let clock_check = Arc::clone(&parts.clock_check);
        self.tasks.spawn(TaskKind::ClockCheck, move |heartbeat| Arc::clone(&clock_check).run(heartbeat));
        let broadcasts = parts.broadcasts.clone();
        self.tasks.spawn(TaskKind::Broadcasts, move |heartbeat| broadcasts.run(heartbeat));
        let requests = parts.requests.clone();
        self.tasks.spawn(TaskKind::Requests, move |heartbeat| requests.clone().run(heartbeat));
        let (store, clock, bell) = (parts.store.clone(), parts.clock.clone(), parts.pipeline.timers_changed());
        let scheduler = Arc::clone(&parts.scheduler);
        self.tasks.spawn(TaskKind::Schedules, move |heartbeat| {
            beadle_schedule::run(store.clone(), clock.clone(), bell.clone(), scheduler.restarted(), heartbeat)
        });
    }

    /// Windows are watched once it is known which plugins want to hear of them: some may have
    /// closed while the daemon was down.
    fn watch_windows(&self, parts: &Parts) {
        let pipeline = &parts.pipeline;
        let windows = Windows {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            changed: pipeline.windows_changed(),
            leads: self.leads.subscribe(),
            subscriptions: pipeline.watch_subscriptions(),
        };
        self.tasks.spawn(TaskKind::Windows, move |heartbeat| windows.clone().run(heartbeat));
    }

    fn watch_configuration(&self, mut loaded: Loaded, parts: &Parts, catalog: Catalog, hangup: Option<Signal>) {
        let config = &loaded.config;
        tracing::info!(
            http = %config.http.listen, admin = config.admin.listen.map(tracing::field::display), socket = %config.admin.socket.display(), "listening"
        );
        let files = reload::Files::from_loaded(&mut loaded);
        let reloader = Arc::new(reload::Reloader {
            catalog,
            pipeline: parts.pipeline.clone(),
            gatekeeper: parts.gatekeeper.clone(),
            segments: parts.segments.clone(),
            broadcasts: parts.broadcasts.clone(),
            policies: parts.policies.clone(),
            hooks: Arc::clone(&parts.hooks),
            schedules: parts.schedules.clone(),
            admin: Arc::clone(&self.admin),
            retention: self.retention.clone(),
            leads: self.leads.clone(),
            at_start: loaded.flat.hashes(),
            state: Mutex::new(reload::ReloadState { current: loaded, files, hangup, reported: None }),
        });
        self.tasks.spawn(TaskKind::Reload, move |heartbeat| Arc::clone(&reloader).run(heartbeat));
    }

    /// Returns when it is time to stop, with the reason unless that is a signal.
    async fn until_stopped(&self, parts: &Parts, signals: &mut Signals) -> Result<(), RunError> {
        self.phase.send_replace(Phase::Running);
        systemd::ready();
        tracing::info!("ready");
        tokio::select! {
            () = signals.next() => Ok(()),
            failure = parts.tasks.failure() => Err(failure.into()),
        }
    }

    /// Stops in order, within the deadlines; at once at another signal.
    async fn end(self, parts: Parts, signals: &mut Signals) {
        self.phase.send_replace(Phase::Draining);
        systemd::stopping();
        tracing::info!("stopping");
        self.stop_http.send_replace(true);
        let in_order = async {
            // A request that is cut off may have been executed, and is perhaps never repeated.
            let (requests, drained) =
                tokio::join!(parts.requests.drain(DRAIN_WITHIN), parts.pipeline.drain(DRAIN_WITHIN));
            if !drained || !requests {
                tracing::warn!("work left for the next start");
            }
            self.stop_admin.send_replace(true);
            let closed = async {
                for connections in &self.connections {
                    connections.closed().await;
                }
            };
            let _ = tokio::time::timeout(CLOSE_WITHIN, closed).await;
        };
        tokio::select! {
            () = in_order => {}
            () = signals.next() => return tracing::warn!("stopped at once"),
        }
        self.tasks.stop(TaskKind::ALL).await;
        // Steps that wait for the writer are still written.
        let closed = tokio::task::spawn_blocking(move || parts.store.close());
        if tokio::time::timeout(CLOSE_WITHIN, closed).await.is_err() {
            tracing::warn!("database not closed in time");
        }
        tracing::info!("stopped");
    }
}
