//! Durable requests of plugins to other servers: kept until they are answered, or given up and
//! dropped. `beadle-requests` sends them.
//!
//! A row is `being sent` before its request leaves, so that after a crash it is known that the
//! server may have executed it. The end of a request and the event about it are one transaction:
//! the plugin hears of each once. Of the open requests with the same key only the first is queued;
//! triggers of the table queue the next when it ends.

use crate::codec::to_json;
use crate::commit::cut;
use crate::error::StoreError;
use crate::handle::Store;
use crate::read::{MAX_READ_BYTES, Reader, bounded, readable};
use crate::step::Commit;
use crate::tx::Tx;
use beadle_model::effect::{NewRequest, Scope, Traffic};
use beadle_model::event::RequestOutcome;
use beadle_model::{EventBody, EventId, PluginNo, RequestId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::sync::Arc;

/// The maximum number of a plugin's requests that wait or were given up.
pub const MAX_REQUESTS: i64 = 10_000;
/// Their maximum size.
pub const MAX_REQUEST_BYTES: i64 = 64 << 20;
/// What a request counts besides its texts and its body.
const ROW_BYTES: usize = 256;

/// The state of a request. The store keeps the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RequestState {
    /// Waits for its time, its turn or its host.
    Queued = 0,
    /// Was given to the network.
    BeingSent = 1,
    /// A dead letter.
    GivenUp = 2,
    /// Waits for an earlier one with its key.
    Behind = 3,
}

/// A request in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Its id.
    pub id: RequestId,
    /// The plugin that asked for it.
    pub plugin: PluginNo,
    /// The event in whose handling it did.
    pub event: EventId,
    /// What it asked for; in a list, without headers and body.
    pub request: NewRequest,
    /// The size of the body.
    pub body_bytes: u64,
    /// Its state.
    pub state: RequestState,
    /// How often it was sent.
    pub attempts: u32,
    /// When it is sent next.
    pub due_at: Timestamp,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Code and text of the last failure.
    pub problem: Option<(String, String)>,
    /// When it was given up.
    pub ended_at: Option<Timestamp>,
    /// When the operator last had it sent again.
    pub retried_at: Option<Timestamp>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestSettlement {
    /// It is sent again at this time.
    Again {
        /// When.
        at: Timestamp,
        /// Why, for programs.
        code: String,
        /// Why, for people.
        error: String,
    },
    /// It has ended.
    Ended(RequestOutcome),
}

/// How many requests a plugin has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Those that wait or are being sent.
    pub open: u64,
    /// Those that were given up.
    pub given_up: u64,
}

/// The columns of [`row_of`]: `?` stands for headers and body.
const COLUMNS: &str =
    "id, plugin, scope, scope_id, event, key, traffic, state, attempts, due_at, created_at, expires_at,
     method, url, ?, context, code, error, ended_at, retried_at, length(body)";

/// The columns with headers and body, or with empty ones: a list needs neither.
fn columns(whole: bool) -> String {
    COLUMNS.replacen('?', if whole { "headers, body" } else { "'[]', x''" }, 1)
}

fn row_of(row: &Row<'_>) -> Result<RequestRow, StoreError> {
    let id: i64 = row.get(0)?;
    let unreadable = |reason: String| StoreError::unreadable(format!("request {id}"), reason);
    let (kind, scope_id): (i64, i64) = (row.get(2)?, row.get(3)?);
    let traffic: i64 = row.get(6)?;
    let state: i64 = row.get(7)?;
    let headers: String = row.get(14)?;
    let request = NewRequest {
        scope: Scope::from_columns(kind, scope_id).ok_or_else(|| unreadable(format!("scope {kind}")))?,
        key: row.get(5)?,
        traffic: if traffic == Traffic::Live as i64 { Traffic::Live } else { Traffic::Backfill },
        method: row.get(12)?,
        url: row.get(13)?,
        headers: serde_json::from_str(&headers).map_err(|error| unreadable(error.to_string()))?,
        body: row.get(15)?,
        context: row.get(16)?,
        expires_at: Timestamp(row.get(11)?),
    };
    let (code, error): (Option<String>, Option<String>) = (row.get(17)?, row.get(18)?);
    Ok(RequestRow {
        id: RequestId(id),
        plugin: PluginNo(row.get(1)?),
        event: EventId(row.get(4)?),
        request,
        body_bytes: row.get::<_, i64>(21)?.unsigned_abs(),
        state: match state {
            0 => RequestState::Queued,
            1 => RequestState::BeingSent,
            3 => RequestState::Behind,
            _ => RequestState::GivenUp,
        },
        attempts: row.get(8)?,
        due_at: Timestamp(row.get(9)?),
        created_at: Timestamp(row.get(10)?),
        problem: code.map(|code| (code, error.unwrap_or_default())),
        ended_at: row.get::<_, Option<i64>>(19)?.map(Timestamp),
        retried_at: row.get::<_, Option<i64>>(20)?.map(Timestamp),
    })
}

/// Reads rows, at least one, until there are [`MAX_READ_BYTES`].
fn rows(conn: &Connection, sql: &str, parameters: &[&dyn rusqlite::ToSql]) -> Result<Vec<RequestRow>, StoreError> {
    let mut read = conn.prepare_cached(sql)?;
    let mut rows = read.query(parameters)?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()?
        && bytes < MAX_READ_BYTES
    {
        let Some(row) = readable(row_of(row))? else { continue };
        bytes += row.request.bytes();
        found.push(row);
    }
    Ok(found)
}

fn totals(conn: &Connection, plugin: PluginNo) -> Result<(i64, i64), StoreError> {
    let mut read = conn.prepare_cached("SELECT requests, bytes FROM request_totals WHERE plugin = ?1")?;
    let found = read.query_row([plugin.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.unwrap_or_default())
}

fn size(request: &NewRequest) -> i64 {
    i64::try_from(request.bytes().saturating_add(ROW_BYTES)).unwrap_or(i64::MAX)
}

impl Tx<'_> {
    /// Fails if a plugin would have too many requests.
    pub(crate) fn check_request_quota(&self, commit: &Commit) -> Result<(), StoreError> {
        if commit.requests.is_empty() {
            return Ok(());
        }
        let (requests, bytes) = totals(self.conn, commit.plugin)?;
        let requests = requests.saturating_add(i64::try_from(commit.requests.len()).unwrap_or(i64::MAX));
        let bytes = commit.requests.iter().map(size).fold(bytes, i64::saturating_add);
        if requests <= MAX_REQUESTS && bytes <= MAX_REQUEST_BYTES {
            return Ok(());
        }
        let (after, quota) = (bytes.unsigned_abs(), MAX_REQUEST_BYTES.unsigned_abs());
        Err(StoreError::OverQuota { resource: "durable requests", after, quota })
    }

    /// Inserts the requests of a handling. Those about someone who is being erased are left out.
    pub(crate) fn insert_requests(&mut self, commit: &Commit) -> Result<(), StoreError> {
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO durable_requests (plugin, scope, scope_id, event, key, traffic, state, attempts, due_at, created_at,
                 expires_at, method, url, headers, body, context, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6,
                 CASE WHEN EXISTS (SELECT 1 FROM durable_requests WHERE plugin = ?1 AND key = ?5 AND state <> 2) THEN 3 ELSE 0 END,
                 0, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?;
        for request in &commit.requests {
            let scope = self.cache.people.resolve(request.scope);
            if self.is_about_erased(scope)? {
                continue;
            }
            let (kind, id) = scope.as_columns();
            insert.execute(params![
                commit.plugin.0,
                kind,
                id,
                commit.progress.event.0,
                request.key,
                request.traffic as i64,
                commit.now.0,
                request.expires_at.0,
                request.method,
                request.url,
                to_json("headers", &request.headers)?,
                request.body,
                request.context,
                size(request),
            ])?;
        }
        Ok(())
    }

    fn is_about_erased(&mut self, scope: Scope) -> Result<bool, StoreError> {
        let Scope::Contact(contact) = scope else { return Ok(self.cache.people.is_erased(scope)) };
        let person = self.cache.people.person(self.conn, contact)?;
        Ok(person.is_none_or(|person| person.contact.profile().erased_since.is_some()))
    }

    fn settle_request(
        &mut self,
        id: RequestId,
        settlement: &RequestSettlement,
        from: RequestState,
        is_wanted: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let from = from as i64;
        let outcome = match settlement {
            RequestSettlement::Again { at, code, error } => {
                self.conn
                    .prepare_cached(
                        "UPDATE durable_requests SET state = 0, due_at = ?2, code = ?3, error = ?4
                         WHERE id = ?1 AND state = ?5",
                    )?
                    .execute(params![id.0, at.0, code, cut(error), from])?;
                return Ok(());
            }
            RequestSettlement::Ended(outcome) => outcome,
        };
        let mut read = self
            .conn
            .prepare_cached("SELECT plugin, context, attempts FROM durable_requests WHERE id = ?1 AND state = ?2")?;
        let found = read.query_row([id.0, from], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
        // Its person was erased, its plugin was purged, or it was settled before.
        let Some((plugin, context, attempts)) = found else { return Ok(()) };
        match outcome {
            RequestOutcome::Answered { .. } => {
                self.conn.prepare_cached("DELETE FROM durable_requests WHERE id = ?1")?.execute([id.0])?;
            }
            RequestOutcome::GivenUp { code, message, .. } => {
                self.conn
                    .prepare_cached(
                        "UPDATE durable_requests SET state = 2, ended_at = ?2, code = ?3, error = ?4 WHERE id = ?1",
                    )?
                    .execute(params![id.0, now.0, code, cut(message)])?;
            }
        }
        if is_wanted {
            let (plugin, outcome) = (PluginNo(plugin), outcome.clone());
            let body = EventBody::Response { plugin, request: id, context, attempts, outcome };
            self.append_own(None, body, None, (now, now))?;
        }
        Ok(())
    }

    /// Queues a request again that was given up.
    pub(crate) fn retry_request(&self, id: RequestId, now: Timestamp) -> Result<bool, StoreError> {
        let mut update = self.conn.prepare_cached(
            "UPDATE durable_requests AS this SET due_at = ?2, retried_at = ?2, ended_at = NULL, attempts = 0,
                 expires_at = max(expires_at, ?2 + expires_at - created_at),
                 state = CASE WHEN EXISTS (SELECT 1 FROM durable_requests AS other
                     WHERE other.plugin = this.plugin AND other.key = this.key AND other.state <> 2) THEN 3 ELSE 0 END
             WHERE id = ?1 AND state = 2",
        )?;
        Ok(update.execute([id.0, now.0])? > 0)
    }

    /// Deletes a request that was given up.
    pub(crate) fn drop_request(&self, id: RequestId) -> Result<bool, StoreError> {
        Ok(self.conn.prepare_cached("DELETE FROM durable_requests WHERE id = ?1 AND state = 2")?.execute([id.0])? > 0)
    }

    /// Deletes up to `limit` requests that were given up before `cutoff`.
    pub(crate) fn delete_old_given_up(&self, cutoff: i64, limit: i64) -> Result<usize, StoreError> {
        let sql = "DELETE FROM durable_requests WHERE id IN
                 (SELECT id FROM durable_requests WHERE state = 2 AND ended_at < ?1 LIMIT ?2)";
        Ok(self.conn.prepare_cached(sql)?.execute([cutoff, limit])?)
    }

    /// Deletes the requests about someone.
    pub(crate) fn delete_requests_about(&self, scope: Scope) -> Result<usize, StoreError> {
        let (kind, id) = scope.as_columns();
        let sql = "DELETE FROM durable_requests WHERE scope = ?1 AND scope_id = ?2 AND scope > 0";
        Ok(self.conn.prepare_cached(sql)?.execute([kind, id])?)
    }

    /// Deletes a plugin's requests.
    pub(crate) fn delete_requests_of(&self, plugin: PluginNo) -> Result<usize, StoreError> {
        Ok(self.conn.prepare_cached("DELETE FROM durable_requests WHERE plugin = ?1")?.execute([plugin.0])?)
    }
}

impl Store {
    /// Marks requests as being sent, and counts the attempt. Returns those that were still queued.
    pub async fn begin_requests(&self, requests: Vec<RequestId>) -> Result<Vec<RequestId>, StoreError> {
        let requests = Arc::new(requests);
        self.ask(move |tx| {
            let mut update = tx.conn.prepare_cached(
                "UPDATE durable_requests SET state = 1, attempts = attempts + 1 WHERE id = ?1 AND state = 0",
            )?;
            let mut begun = Vec::with_capacity(requests.len());
            for id in requests.iter() {
                if update.execute([id.0])? > 0 {
                    begun.push(*id);
                }
            }
            Ok(begun)
        })
        .await
    }

    /// Postpones queued requests: their hosts take no more now.
    pub async fn postpone_requests(&self, requests: Vec<(RequestId, Timestamp)>) -> Result<(), StoreError> {
        let requests = Arc::new(requests);
        self.ask(move |tx| {
            let mut update = tx
                .conn
                .prepare_cached("UPDATE durable_requests SET due_at = max(due_at, ?2) WHERE id = ?1 AND state = 0")?;
            for (id, at) in requests.iter() {
                update.execute([id.0, at.0])?;
            }
            Ok(())
        })
        .await
    }

    /// Records what came of a request that is in the state `from`; in another state, nothing
    /// changes. With `is_wanted`, its end is an event for its plugin.
    pub async fn settle_request(
        &self,
        id: RequestId,
        settlement: RequestSettlement,
        from: RequestState,
        is_wanted: bool,
    ) -> Result<(), StoreError> {
        let (settlement, now) = (Arc::new(settlement), self.now());
        self.ask(move |tx| tx.settle_request(id, &settlement, from, is_wanted, now)).await
    }
}

impl Reader {
    /// Plugins that have requests.
    pub fn requesting_plugins(&self) -> Result<Vec<PluginNo>, StoreError> {
        self.one(|conn| {
            let mut read =
                conn.prepare_cached("SELECT plugin FROM request_totals WHERE requests > 0 ORDER BY plugin")?;
            let plugins = read.query_map([], |row| row.get(0).map(PluginNo))?;
            Ok(plugins.collect::<Result<_, _>>()?)
        })
    }

    /// The first `limit` queued requests of a plugin in the order of their due times, also those
    /// that are not due.
    pub fn next_requests(
        &self,
        plugin: PluginNo,
        traffic: Traffic,
        limit: usize,
    ) -> Result<Vec<RequestRow>, StoreError> {
        self.one(|conn| {
            let sql = format!(
                "SELECT {} FROM durable_requests WHERE state = 0 AND plugin = ?1 AND traffic = ?2
                 ORDER BY due_at, id LIMIT ?3",
                columns(true)
            );
            rows(conn, &sql, &[&plugin.0, &(traffic as i64), &bounded(limit)])
        })
    }

    /// Requests that are being sent, or were when the daemon ended; the oldest first.
    pub fn requests_being_sent(&self, limit: usize) -> Result<Vec<RequestRow>, StoreError> {
        self.one(|conn| {
            let sql = format!("SELECT {} FROM durable_requests WHERE state = 1 ORDER BY id LIMIT ?1", columns(true));
            rows(conn, &sql, &[&bounded(limit)])
        })
    }

    /// One request.
    pub fn durable_request(&self, id: RequestId) -> Result<Option<RequestRow>, StoreError> {
        self.one(|conn| {
            let sql = format!("SELECT {} FROM durable_requests WHERE id = ?1", columns(true));
            Ok(rows(conn, &sql, &[&id.0])?.pop())
        })
    }

    /// Requests before this one, newest first; only a plugin's, and only those that were given up.
    pub fn durable_requests(
        &self,
        plugin: Option<PluginNo>,
        given_up: bool,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<RequestRow>, StoreError> {
        self.one(|conn| {
            let sql = format!(
                "SELECT {} FROM durable_requests WHERE id < ?1 AND (?2 IS NULL OR plugin = ?2)
                 AND (NOT ?3 OR state = 2) ORDER BY id DESC LIMIT ?4",
                columns(false)
            );
            let before = before.map_or(i64::MAX, |id| id.0);
            rows(conn, &sql, &[&before, &plugin.map(|plugin| plugin.0), &given_up, &bounded(limit)])
        })
    }

    /// How many requests each plugin has.
    pub fn request_counts(&self) -> Result<Vec<(PluginNo, RequestCounts)>, StoreError> {
        self.one(|conn| {
            let mut read = conn.prepare_cached(
                "SELECT plugin, requests, (SELECT count(*) FROM durable_requests AS r
                     WHERE state = 2 AND r.plugin = t.plugin)
                 FROM request_totals AS t WHERE requests > 0 ORDER BY plugin",
            )?;
            let counts = read.query_map([], |row| {
                let (all, given_up): (i64, i64) = (row.get(1)?, row.get(2)?);
                let open = all.saturating_sub(given_up).max(0).unsigned_abs();
                Ok((PluginNo(row.get(0)?), RequestCounts { open, given_up: given_up.max(0).unsigned_abs() }))
            })?;
            Ok(counts.collect::<Result<_, _>>()?)
        })
    }

    /// How many requests a plugin may still make, and their bytes.
    pub fn requests_left(&self, plugin: PluginNo) -> Result<(i64, i64), StoreError> {
        self.one(|conn| {
            let (requests, bytes) = totals(conn, plugin)?;
            Ok(((MAX_REQUESTS - requests).max(0), (MAX_REQUEST_BYTES - bytes).max(0)))
        })
    }
}
