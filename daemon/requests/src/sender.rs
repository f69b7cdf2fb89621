//! The task that sends: it gives requests that are due to the network, as many as plugins and hosts
//! may have in progress.

use crate::attempt::{self, Ready};
use beadle_clock::{Alarm, Clock};
use beadle_egress::retry::idempotency_key;
use beadle_egress::{EgressError, EgressRequest, Policies, Terms, Traffic};
use beadle_model::event::RequestOutcome;
use beadle_model::{EventKind, PluginNo, RequestId, Timestamp};
use beadle_pipeline::SubscriptionsReceiver;
use beadle_store::{Reader, RequestRow, RequestSettlement, RequestState, Store, StoreError};
use beadle_tasks::Heartbeat;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// The requests of a plugin that are read at once, of each traffic.
const BATCH: usize = 32;
/// Requests whose host takes none for this long give way in the queue to those to other hosts.
const POSTPONED_MS: i64 = 1000;
/// The longest time without a check, if the alarm does not ring. Real time.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// The delay after an error of the store. Real time: a full disk does not follow the virtual clock.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Sends durable requests. Cheap to clone.
#[derive(Clone)]
pub struct Requests(Arc<Context>);

/// What it needs.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Civil time.
    pub clock: Clock,
    /// What plugins may request.
    pub policies: Policies,
    /// Which plugins are in service.
    pub subscriptions: SubscriptionsReceiver,
    /// Rung when a request was made or an operator did something about one.
    pub wake: Alarm,
    /// The requests of a plugin at a time (`[egress] per_plugin`). One stays for `http`, and half
    /// for what is not backfill, if there are as many.
    pub per_plugin: usize,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

struct Context {
    parts: Parts,
    in_progress: Mutex<BTreeMap<RequestId, (PluginNo, Traffic)>>,
    /// Notified when a request has ended.
    ended: Notify,
    is_draining: AtomicBool,
}

/// A request in progress. It ends when this is dropped, also by a panic.
struct InProgress(Arc<Context>, RequestId);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.lock().remove(&self.1);
        self.0.ended.notify_waiters();
        self.0.parts.wake.ring();
    }
}

impl Requests {
    /// Sends nothing until it runs.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Context {
            parts,
            in_progress: Mutex::default(),
            ended: Notify::new(),
            is_draining: AtomicBool::new(false),
        }))
    }

    /// The loop.
    ///
    /// # Errors
    /// The store is closed, or belongs to another process.
    pub async fn run(self, heartbeat: Heartbeat) -> Result<(), StoreError> {
        let context = self.0;
        let mut subscriptions = context.parts.subscriptions.clone();
        loop {
            heartbeat.beat();
            subscriptions.mark_unchanged();
            match context.advance().await {
                Ok(wake_at) => {
                    let woken = async {
                        tokio::select! {
                            () = context.parts.wake.wait(wake_at, POLL_INTERVAL) => {}
                            _ = subscriptions.changed() => {}
                        }
                    };
                    heartbeat.idle(woken).await;
                }
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "durable requests not read or written, retrying");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Sends nothing new, and waits for what is in progress, at most this long. Returns whether
    /// everything has ended.
    pub async fn drain(&self, within: Duration) -> bool {
        self.0.is_draining.store(true, Ordering::Release);
        let all_ended = async {
            loop {
                let ended = self.0.ended.notified();
                if self.0.in_progress.lock().is_empty() {
                    return;
                }
                ended.await;
            }
        };
        tokio::time::timeout(within, all_ended).await.is_ok()
    }

    /// Wakes the loop: an operator did something about a request.
    pub fn wake(&self) {
        self.0.parts.wake.ring();
    }
}

/// What was found for a plugin.
#[derive(Default)]
struct Found {
    ready: Vec<Ready>,
    postponed: Vec<(RequestId, Timestamp)>,
    wake_at: Option<Timestamp>,
}

impl Found {
    fn wake_at(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }
}

impl Context {
    /// Sends what is due. Returns when to call it again.
    async fn advance(self: &Arc<Self>) -> Result<Option<Timestamp>, StoreError> {
        let store = &self.parts.store;
        self.settle_interrupted().await?;
        let mut wake_at: Option<Timestamp> = None;
        for plugin in store.read(Reader::requesting_plugins).await? {
            let Some(name) = self.name_in_service(plugin) else { continue };
            let Found { ready, postponed, wake_at: next } = self.find(plugin, &name).await?;
            wake_at = [wake_at, next].into_iter().flatten().min();
            if !postponed.is_empty() {
                store.postpone_requests(postponed).await?;
            }
            self.begin(plugin, &name, ready).await?;
        }
        Ok(wake_at)
    }

    /// Decides about requests that were being sent when the daemon ended.
    async fn settle_interrupted(&self) -> Result<(), StoreError> {
        let rows = self.parts.store.read(|reader| reader.requests_being_sent(BATCH)).await?;
        for row in rows {
            if self.in_progress.lock().contains_key(&row.id) {
                continue;
            }
            let names = self.parts.store.read(Reader::plugins).await?;
            let name = names.into_iter().find(|plugin| plugin.no == row.plugin).map(|plugin| plugin.name);
            let terms = name.and_then(|name| self.prepare(&name, &row).ok()).map(|(_, terms)| terms);
            let settlement = attempt::interrupted(&row, terms.as_ref(), self.parts.clock.now());
            self.settle(&row, settlement, RequestState::BeingSent).await?;
        }
        Ok(())
    }

    /// What is due of a plugin.
    async fn find(&self, plugin: PluginNo, name: &str) -> Result<Found, StoreError> {
        let mut found = Found::default();
        if self.is_draining.load(Ordering::Acquire) {
            return Ok(found);
        }
        let now = self.parts.clock.now();
        // A host that takes no live request takes no backfill either.
        let mut full: BTreeMap<String, Timestamp> = BTreeMap::new();
        for traffic in [Traffic::Live, Traffic::Backfill] {
            let rows = self.parts.store.read(move |reader| reader.next_requests(plugin, traffic, BATCH)).await?;
            let is_all = rows.len() < BATCH;
            for row in rows {
                if row.due_at > now {
                    found.wake_at(row.due_at);
                    break;
                }
                if row.request.expires_at <= now {
                    self.settle(&row, attempt::not_sent(&row, None), RequestState::Queued).await?;
                    found.wake_at(now);
                    continue;
                }
                let (request, terms) = match self.prepare(name, &row) {
                    Ok(prepared) => prepared,
                    Err(error) => {
                        self.settle(&row, attempt::not_sent(&row, Some(&error)), RequestState::Queued).await?;
                        found.wake_at(now);
                        continue;
                    }
                };
                // The end of one wakes the loop.
                if !self.has_room(plugin, traffic, &found.ready) {
                    break;
                }
                let at = match full.get(&terms.host) {
                    Some(at) => *at,
                    None => match self.parts.policies.paces().take(&terms, traffic) {
                        Ok(()) => {
                            found.ready.push(Ready { row, request, terms });
                            continue;
                        }
                        Err(wait_ms) => now.plus_ms(wait_ms),
                    },
                };
                full.insert(terms.host, at);
                found.wake_at(at);
                if at.since_ms(now) >= POSTPONED_MS {
                    found.postponed.push((row.id, at));
                }
            }
            // Those behind may be for another host.
            if !is_all && !found.postponed.is_empty() {
                found.wake_at(now);
            }
        }
        Ok(found)
    }

    fn has_room(&self, plugin: PluginNo, traffic: Traffic, ready: &[Ready]) -> bool {
        let in_progress = self.in_progress.lock();
        let of_plugin = in_progress.values().filter(|(other, _)| *other == plugin).map(|(_, traffic)| *traffic);
        let all: Vec<Traffic> = of_plugin.chain(ready.iter().map(|ready| ready.row.request.traffic)).collect();
        let backfill = all.iter().filter(|other| **other == Traffic::Backfill).count();
        let per_plugin = self.parts.per_plugin;
        let (most, most_backfill) = (per_plugin.saturating_sub(1).max(1), (per_plugin / 2).max(1));
        all.len() < most && (traffic == Traffic::Live || backfill < most_backfill)
    }

    /// Marks requests in the store, and sends them.
    async fn begin(self: &Arc<Self>, plugin: PluginNo, name: &str, ready: Vec<Ready>) -> Result<(), StoreError> {
        if ready.is_empty() {
            return Ok(());
        }
        let ids: Vec<RequestId> = ready.iter().map(|ready| ready.row.id).collect();
        let begun = self.parts.store.begin_requests(ids).await?;
        for ready in ready.into_iter().filter(|ready| begun.contains(&ready.row.id)) {
            let (context, name, id) = (Arc::clone(self), name.to_owned(), ready.row.id);
            self.in_progress.lock().insert(id, (plugin, ready.row.request.traffic));
            let in_progress = InProgress(Arc::clone(self), id);
            tokio::spawn(async move {
                context.attempt(&name, ready).await;
                drop(in_progress);
            });
        }
        Ok(())
    }

    async fn attempt(&self, name: &str, ready: Ready) {
        let _work = self.parts.clock.work();
        let sent = self.parts.policies.send_paced(name, ready.request.clone()).await;
        let (settlement, pause) = attempt::settle(&ready, sent, self.parts.clock.now());
        if let Some(until) = pause {
            self.parts.policies.paces().pause(&ready.terms, until);
        }
        while let Err(error) = self.settle(&ready.row, settlement.clone(), RequestState::BeingSent).await {
            // After the next start it counts as interrupted.
            if error.is_fatal() {
                return;
            }
            tracing::warn!(request = %ready.row.id, %error, "outcome of a durable request not stored, retrying");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn settle(
        &self,
        row: &RequestRow,
        settlement: RequestSettlement,
        from: RequestState,
    ) -> Result<(), StoreError> {
        let is_wanted = {
            let subscriptions = self.parts.subscriptions.borrow();
            !subscriptions.is_known()
                || subscriptions.of_kind(EventKind::Response).any(|one| one.slot.no() == row.plugin)
        };
        if let RequestSettlement::Ended(RequestOutcome::GivenUp { code, .. }) = &settlement {
            tracing::warn!(request = %row.id, plugin = %row.plugin.0, code, "durable request given up");
        }
        self.parts.store.settle_request(row.id, settlement, from, is_wanted).await
    }

    /// A request with its key, and what the rule that allows it says.
    fn prepare(&self, name: &str, row: &RequestRow) -> Result<(EgressRequest, Terms), EgressError> {
        let request = &row.request;
        let mut made =
            EgressRequest::new(&request.method, &request.url, request.headers.clone(), request.body.clone())?;
        let terms = self.parts.policies.terms(name, &made)?;
        if made.needs_idempotency_key() {
            // A request that the operator sends again is another one.
            let id = format!("{} {}", row.id, row.retried_at.map_or(0, Timestamp::as_ms));
            made.set_idempotency_key(&idempotency_key(&self.parts.store.host_key(), &id));
        }
        Ok((made, terms))
    }

    fn name_in_service(&self, plugin: PluginNo) -> Option<String> {
        let subscriptions = self.parts.subscriptions.borrow();
        let is_in_service = subscriptions.in_service().contains(&plugin);
        subscriptions.name(plugin).filter(|_| is_in_service).map(str::to_owned)
    }
}
