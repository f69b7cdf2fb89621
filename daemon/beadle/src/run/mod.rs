//! The daemon's life: built, running, draining, gone.
//!
//! It opens its addresses before it loads its plugins, so that no webhook meets a closed door: what comes in early is
//! durable and waits. At the end it goes the other way round: the door is closed, what is on its way may finish until the
//! deadline, and what did not is on disk and goes on after the next start. A second signal ends it at once; that is
//! always safe, since nothing that counts is only in memory.

mod build;
mod follow;
pub mod logging;
mod reload;
mod signals;
mod sockets;
mod systemd;
mod upkeep;

use crate::cli::RunArgs;
use crate::config::{self, Config, Environment, Loaded};
use crate::exit::Exit;
use crate::web::{self, Admin, Phase};
use beadle_catalog::Catalog;
use beadle_clock::Clock;
use beadle_model::{Blame, Coded, LeadTimes};
use beadle_sandbox::SandboxError;
use beadle_schedule::Windows;
use beadle_store::{Retention, StoreError};
use beadle_whatsapp::ChannelError;
pub use build::Parts;
pub use follow::Turned;
use signals::Signals;
use sockets::{Cleanup, Sockets};
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is on its way may take this long to finish; with closing twice, all of it stays within the promised 10 s. Real
/// time.
const DRAIN_WITHIN: Duration = Duration::from_secs(8);
/// Then answers that are being written may take this long, and after them the database.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Codes of [`RunError`] that are this crate's own.
#[cfg(test)]
pub const CODES: [&str; 3] = ["listen-failed", "clock-unreadable", "pipeline-stopped"];

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Plugins cannot be run here.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A channel cannot be made.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// An address is not to be had.
    #[error("cannot listen on {address} ({key}): {why}")]
    Listen {
        /// Which line of the configuration.
        key: &'static str,
        /// What it says.
        address: String,
        /// Why not.
        why: io::Error,
    },
    /// The clock to follow is not there.
    #[error(transparent)]
    Clock(#[from] follow::Unreadable),
    /// The pipeline could not go on.
    #[error("the pipeline stopped: {0}")]
    Pipeline(String),
}

impl Coded for RunError {
    fn code(&self) -> &'static str {
        match self {
            RunError::Store(error) => error.code(),
            RunError::Sandbox(error) => error.code(),
            RunError::Channel(error) => error.code(),
            RunError::Listen { .. } => "listen-failed",
            RunError::Clock(_) => "clock-unreadable",
            RunError::Pipeline(_) => "pipeline-stopped",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            RunError::Store(error) => error.blame(),
            RunError::Sandbox(error) => error.blame(),
            RunError::Channel(error) => error.blame(),
            RunError::Pipeline(_) => Blame::Host,
            _ => Blame::Operator,
        }
    }
}

/// `beadle run`: a mistake in the configuration is wrong usage (2), so that systemd does not try it again and again.
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
        Err(why) => {
            tracing::error!(code = why.code(), "{why}");
            Exit::Failed
        }
    }
}

/// Runs until a signal, or until the pipeline cannot go on. `ready` is told once everything runs.
pub async fn run(loaded: Loaded, clock_url: Option<&str>, ready: impl FnOnce(&Config)) -> Result<(), RunError> {
    let failed = |why| RunError::Listen { key: "signals", address: "SIGTERM and SIGINT".into(), why };
    let mut signals = Signals::listen().map_err(failed)?;
    for note in &loaded.notes {
        tracing::warn!("{note}.");
    }
    let config = &loaded.config;
    let starting = async {
        let sockets = Sockets::open(config).await?;
        let (clock, turned) = match clock_url {
            Some(url) => {
                let (clock, turned) = follow::follow(url, &sockets.clock_url()).await?;
                (clock, Some(turned))
            }
            None => (Clock::real(), None),
        };
        Ok::<_, RunError>((sockets, build::build(config, clock)?, turned))
    };
    let (sockets, mut parts, turned) = tokio::select! {
        started = starting => started?,
        () = signals.next() => return Ok(()),
    };
    let _cleanup = Cleanup(config.admin.socket.clone());
    build::meet_channels(config, &parts.store).await?;
    let catalog = build::keep_plugins(config, &parts);
    let mut running = Running::start(config, sockets, &mut parts, catalog.clone(), turned);
    let ended = tokio::select! {
        () = catalog.started() => {
            ready(config);
            running.look_after_windows(&parts);
            running.follow_configuration(loaded, &parts, catalog, signals.hangup.take());
            running.until_the_end(&parts, &mut signals).await
        }
        () = signals.next() => Ok(()),
    };
    running.end(parts, &mut signals).await;
    ended
}

/// What serves while the daemon runs.
struct Running {
    admin: Arc<Admin>,
    retention: watch::Sender<Retention>,
    leads: watch::Sender<LeadTimes>,
    phase: watch::Sender<Phase>,
    stop_http: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    serving: JoinSet<io::Result<()>>,
    working: JoinSet<()>,
}

impl Running {
    fn start(config: &Config, sockets: Sockets, parts: &mut Parts, catalog: Catalog, turned: Option<Turned>) -> Self {
        let (phase, phases) = watch::channel(Phase::Starting);
        let (stop_http, stopped_http) = watch::channel(false);
        let (stop_admin, stopped_admin) = watch::channel(false);
        let admin = Arc::new(Admin::new(config, parts, turned, phases, catalog));
        let router = web::admin::router(Arc::clone(&admin));
        let mut serving = JoinSet::new();
        serving.spawn(web::serve::tcp(sockets.http, web::webhooks::router(Arc::clone(&parts.webhooks)), stopped_http));
        serving.spawn(web::serve::tcp(sockets.admin, router.clone(), stopped_admin.clone()));
        serving.spawn(web::serve::serve(sockets.local, router, stopped_admin));
        let mut working = JoinSet::new();
        let (retention, policy) = watch::channel(config.retention);
        working.spawn(upkeep::look(Arc::clone(&admin)));
        working.spawn(upkeep::clean(Arc::clone(&admin), policy));
        if let Some(fetcher) = parts.fetcher.take() {
            working.spawn(fetcher.run());
        }
        if let Some(scheduler) = parts.scheduler.take() {
            let bell = parts.pipeline.timers_changed();
            working.spawn(beadle_schedule::run(parts.store.clone(), parts.clock.clone(), bell, scheduler));
        }
        let leads = watch::Sender::new(config.windows.clone());
        Self { admin, retention, leads, phase, stop_http, stop_admin, serving, working }
    }

    /// From now on windows are looked after. Not before it is known who wants to hear of them: some may have ended while
    /// nobody was here.
    fn look_after_windows(&mut self, parts: &Parts) {
        let pipeline = parts.pipeline.clone();
        let windows = Windows {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            changed: pipeline.windows_changed(),
            leads: self.leads.subscribe(),
            news: Box::new(move || pipeline.subscriptions().interest()),
        };
        self.working.spawn(windows.run());
    }

    /// From now on what is written in the configuration is brought into effect.
    fn follow_configuration(&mut self, loaded: Loaded, parts: &Parts, catalog: Catalog, hangup: Option<Signal>) {
        let config = &loaded.config;
        tracing::info!(
            http = %config.http.listen, admin = %config.admin.listen, socket = %config.admin.socket.display(), "Listening."
        );
        let reloader = reload::Reloader {
            catalog,
            pipeline: parts.pipeline.clone(),
            schedules: parts.schedules.clone(),
            admin: Arc::clone(&self.admin),
            retention: self.retention.clone(),
            leads: self.leads.clone(),
        };
        self.working.spawn(reloader.run(loaded, hangup));
    }

    /// Ready; returns when it is time to end, and why where that is no signal.
    async fn until_the_end(&self, parts: &Parts, signals: &mut Signals) -> Result<(), RunError> {
        self.phase.send_replace(Phase::Running);
        systemd::ready();
        tracing::info!("Ready.");
        tokio::select! {
            () = signals.next() => Ok(()),
            why = parts.pipeline.failed() => Err(RunError::Pipeline(why)),
        }
    }

    /// In order, within the deadlines; at once where another signal comes.
    async fn end(mut self, parts: Parts, signals: &mut Signals) {
        self.phase.send_replace(Phase::Draining);
        systemd::stopping();
        tracing::info!("Stopping: what is on its way may finish; another signal ends it at once.");
        self.stop_http.send_replace(true);
        let in_order = async {
            if !parts.pipeline.drain(DRAIN_WITHIN).await {
                tracing::warn!("Not everything finished in time; it goes on after the next start.");
            }
            self.stop_admin.send_replace(true);
            let closed = async { while self.serving.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(CLOSE_WITHIN, closed).await;
        };
        tokio::select! {
            () = in_order => {}
            () = signals.next() => return tracing::warn!("Stopped at once."),
        }
        self.working.shutdown().await;
        // What still waits for the writer is written; it is durable or was promised to nobody.
        let closed = tokio::task::spawn_blocking(move || parts.store.close());
        if tokio::time::timeout(CLOSE_WITHIN, closed).await.is_err() {
            tracing::warn!("The database takes long to close; it is whole, whenever the process ends.");
        }
        tracing::info!("Stopped.");
    }
}
