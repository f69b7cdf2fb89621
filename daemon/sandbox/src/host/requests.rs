//! What the requests of a call share, whichever interface makes them: their number, the time that
//! is left, and the permit that a waiting call gives back.

use super::facts::Facts;
use crate::handles::derive_key;
use crate::limits;
use beadle_egress::{EgressRequest, Policies};
use beadle_model::{EventId, Refusal};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// The requests of an instance's calls. WASI's own objects share it.
pub struct Requests {
    facts: Arc<Facts>,
    /// None between calls, and in calls that make no requests, such as `about`.
    call: Mutex<Option<RunningCall>>,
}

struct RunningCall {
    event: EventId,
    started: Instant,
    /// Its effects will be discarded.
    is_dry: bool,
    /// The event was passed to the guest: before, nothing can be requested.
    is_open: bool,
    count: u32,
    /// How often the same request was made, by a hash of it.
    made: HashMap<[u8; 32], u32>,
    /// Held while guest code runs; given back while the call waits for a response.
    permit: Option<OwnedSemaphorePermit>,
    /// Held from the first request of `wasi:http` on, whose waits the host does not see.
    waiting: Option<OwnedSemaphorePermit>,
    /// Bytes of requests and responses of `wasi:http`, which stay in memory: requests until they
    /// are sent, responses until the guest has read them.
    kept_bytes: usize,
    /// Dropped at the end, and with it the requests of `wasi:http` that are in progress.
    alive: watch::Sender<()>,
}

/// A request that may be made.
pub struct Admitted {
    /// Sends it.
    pub policies: Policies,
    /// The rest of the call's elapsed time without a tenth of the whole, which is left for what the
    /// plugin does with the answer.
    pub limit: Duration,
    /// Ends with the call.
    pub alive: watch::Receiver<()>,
    event: EventId,
}

impl Requests {
    /// Without a call.
    pub fn new(facts: Arc<Facts>) -> Self {
        Self { facts, call: Mutex::default() }
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &str {
        &self.facts.name
    }

    /// A call starts that may make requests, unless it is dry.
    pub fn begin(&self, event: EventId, is_dry: bool, permit: Option<OwnedSemaphorePermit>) {
        let (alive, _) = watch::channel(());
        let started = Instant::now();
        let call = RunningCall {
            event,
            started,
            is_dry,
            is_open: false,
            count: 0,
            made: HashMap::new(),
            permit,
            waiting: None,
            kept_bytes: 0,
            alive,
        };
        *self.call.lock() = Some(call);
    }

    /// From here on the guest may make requests.
    pub fn open(&self) {
        if let Some(call) = self.call.lock().as_mut() {
            call.is_open = true;
        }
    }

    /// The call ends, and with it its requests.
    pub fn end(&self) {
        *self.call.lock() = None;
    }

    /// Counts a request.
    ///
    /// # Errors
    /// A refusal if it may not be made.
    pub fn admit(&self) -> Result<Admitted, Refusal> {
        let mut call = self.call.lock();
        let (Some(call), Some(policies)) =
            (call.as_mut().filter(|call| call.is_open && !call.is_dry), &self.facts.egress)
        else {
            let message = "No request is made in a dry run or a test; the plugin continues without an answer.";
            return Err(Refusal::new("http-dry-run", message));
        };
        call.count += 1;
        if call.count > limits::HTTP_REQUESTS {
            let message = format!("A handling may make {} requests.", limits::HTTP_REQUESTS);
            return Err(Refusal::new("http-request-limit", message));
        }
        let whole = Duration::from_millis(self.facts.limits.wall_ms.into());
        let limit = whole.saturating_sub(call.started.elapsed()).saturating_sub(whole / 10);
        let (event, alive) = (call.event, call.alive.subscribe());
        Ok(Admitted { policies: policies.clone(), limit, alive, event })
    }

    /// Makes an `Idempotency-Key` that is the same in every attempt, whatever else the plugin
    /// requests: it depends on the request, and on how often the call made the same one before.
    pub fn sign(&self, admitted: &Admitted, request: &mut EgressRequest) {
        if !request.needs_idempotency_key() {
            return;
        }
        let method = request.method.as_str().as_bytes();
        let digest = Sha256::new().chain_update(method).chain_update([0]).chain_update(&request.url);
        let digest: [u8; 32] = digest.chain_update([0]).chain_update(&request.body).finalize().into();
        let mut call = self.call.lock();
        let Some(number) = call.as_mut().map(|call| call.made.entry(digest).or_default()) else { return };
        *number += 1;
        let parts = [&admitted.event.0.to_be_bytes()[..], self.facts.name.as_bytes(), &number.to_be_bytes(), &digest];
        let key = derive_key(&self.facts.host_key, &parts);
        request.set_idempotency_key(&beadle_model::text::hex(key.get(..16).unwrap_or_default()));
    }

    /// Runs `wait` while another call of the plugin may have this one's permit.
    ///
    /// # Errors
    /// A refusal if too many calls of the plugin wait already.
    pub async fn waiting<T>(&self, wait: impl Future<Output = T>) -> Result<T, Refusal> {
        let is_waiting = self.call.lock().as_ref().is_some_and(|call| call.waiting.is_some());
        if is_waiting {
            return Ok(wait.await);
        }
        let waiting = self.wait_permit()?;
        let permit = self.call.lock().as_mut().and_then(|call| call.permit.take());
        drop(permit);
        let waited = wait.await;
        // Before the next line: a call waits for one of the permits, never with the other.
        drop(waiting);
        let permit = Arc::clone(&self.facts.permits).acquire_owned().await.ok();
        if let Some(call) = self.call.lock().as_mut() {
            call.permit = permit;
        }
        Ok(waited)
    }

    /// Gives back the call's permit for the rest of the call.
    ///
    /// # Errors
    /// A refusal if too many calls of the plugin wait already.
    pub fn wait_from_now_on(&self) -> Result<(), Refusal> {
        let mut call = self.call.lock();
        let Some(call) = call.as_mut().filter(|call| call.waiting.is_none()) else { return Ok(()) };
        call.waiting = Some(self.wait_permit()?);
        call.permit = None;
        Ok(())
    }

    fn wait_permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.facts.waiting).try_acquire_owned().map_err(|_| {
            let message = format!("{} calls of this plugin wait for responses.", limits::HTTP_WAITING_CALLS);
            Refusal::new("http-too-many-waiting", message)
        })
    }

    /// Counts a part of a body that stays in memory. False if there are too many.
    pub fn keep_bytes(&self, bytes: usize) -> bool {
        self.call.lock().as_mut().is_some_and(|call| {
            call.kept_bytes = call.kept_bytes.saturating_add(bytes);
            call.kept_bytes <= limits::HTTP_KEPT_BYTES
        })
    }
}
