//! Opening: the lock, the ballast, the schema, the connections and the two threads.

use crate::ballast::Ballast;
use crate::checkpoint::{self, Gate};
use crate::error::StoreError;
use crate::feed::{Feed, Tail};
use crate::files::Files;
use crate::handle::{Store, Threads};
use crate::lock::DirectoryLock;
use crate::queue::Queue;
use crate::read::Reader;
use crate::schema;
use crate::settle::Kept;
use crate::shadow::{Shadow, meta, set_meta};
use crate::shared::{Counters, Names, Shared};
use crate::writer::Writer;
use beadle_clock::Clock;
use beadle_model::{EventId, Timestamp};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a connection waits for another one's lock. Ours do not collide; a person's `sqlite3` on the file may.
const BUSY: Duration = Duration::from_secs(5);

/// Statements that a connection keeps prepared: all that there are.
const STATEMENTS: usize = 128;

/// The writer's page cache: the right edges of all tables and the inner pages of a database of 10 million events.
/// Only what is used is taken.
const WRITER_CACHE_KIB: i64 = 32 << 10;

/// The log is cut to this when it is begun anew, so that one burst does not hold its disk space for ever.
const LOG_LIMIT_BYTES: i64 = 128 << 20;

/// How the store is opened.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The data directory; made where it is missing. `beadle.db`, `beadle.lock`, `ballast` and `backups/` lie in it.
    pub dir: PathBuf,
    /// Civil time, for when events were received.
    pub clock: Clock,
    /// Steps that may wait for the writer.
    pub queue: usize,
    /// Connections for reading, opened when needed.
    pub readers: usize,
    /// Events that may wait in memory for the pipeline; beyond that they wait on disk.
    pub feed_events: usize,
    /// Bytes of bodies of those events.
    pub feed_bytes: usize,
    /// Contacts kept at hand, with their conversations; about a kilobyte each.
    pub cached_people: usize,
    /// Pages (of 4 KiB) in the write-ahead log before it is begun anew.
    pub log_pages: u32,
    /// Room that is given up when the disk is full; 0 for none.
    pub ballast_bytes: u64,
    /// A limit on the database's size in pages of 4 KiB, for those who want one (and for tests of a full disk).
    pub max_pages: Option<u32>,
}

impl StoreConfig {
    /// The usual sizes. 4,096 steps are 0.1 s of work at full load: whoever is further behind is better told to come
    /// again. 8 readers are more than there are threads that read at once. A log of 64 MiB is some seconds' worth
    /// at full load: less copies hot pages more often, more makes readers search longer and the next start replay more.
    pub fn new(dir: impl Into<PathBuf>, clock: Clock) -> Self {
        Self {
            dir: dir.into(),
            clock,
            queue: 4096,
            readers: 8,
            feed_events: 8192,
            feed_bytes: 16 << 20,
            cached_people: 20_000,
            log_pages: 16_384,
            ballast_bytes: 16 << 20,
            max_pages: None,
        }
    }
}

impl Store {
    /// Opens the store, making or migrating its database, and starts its threads. It blocks, for as long as a migration
    /// takes.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another daemon has the directory; [`StoreError::Newer`] or [`StoreError::Foreign`]
    /// for a database that is not for this version; [`StoreError::File`] and [`StoreError::Sqlite`] as they come.
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        make_dir(&config.dir)?;
        let lock = DirectoryLock::take(&config.dir)?;
        let ballast = Ballast::new(&config.dir, config.ballast_bytes);
        if let Err(error) = ballast.take() {
            tracing::warn!(%error, "there is no room for the ballast: a full disk will be felt at once");
        }
        let path = config.dir.join("beadle.db");
        let ((conn, fence, closed_at), troubled) = match open_writer(&path, &config) {
            Ok(writer) => (writer, None),
            // What is to be settled may be on its way to us: with the ballast gone there is room to start.
            Err(error) if error.is_storage() => {
                ballast.free();
                (open_writer(&path, &config).map_err(|error| error.placed(&config.dir))?, Some(Instant::now()))
            }
            Err(error) => return Err(error),
        };
        let shadow = Shadow::load(&conn, config.cached_people, fence)?;
        let last: i64 = conn.query_row("SELECT coalesce(max(id), 0) FROM outbox", [], |row| row.get(0))?;
        let next_message = meta(&conn, "next_message")?.unwrap_or(1).max(last + 1);
        let last: i64 = conn.query_row("SELECT coalesce(max(id), 0) FROM media", [], |row| row.get(0))?;
        let next_media = meta(&conn, "next_media")?.unwrap_or(1).max(last + 1);
        let files = Files::new(config.dir.join("media"), next_media);
        sweep(&conn, &files)?;
        let shared = Arc::new(Shared {
            closed_at,
            install: install(&conn)?,
            host_key: host_key(&conn)?,
            dir: config.dir.clone(),
            clock: config.clock.clone(),
            fence,
            queue: Queue::new(config.queue),
            tail: Tail::new(shadow.next_event - 1, config.feed_events, config.feed_bytes, config.clock.clone()),
            counters: Counters::default(),
            next_message: AtomicI64::new(next_message),
            names: Names::load(&conn)?,
            files: files.clone(),
        });
        let reader = Reader::new(path.clone(), files, config.readers);
        let feed = Feed::new(Arc::clone(&shared), reader.clone(), EventId(shadow.finished_below));
        if troubled.is_some() {
            shared.counters.set_trouble(Some(StoreError::DiskFull { path: config.dir.clone() }.to_string()));
        }
        let checkpoints = connect(&path)?;
        let writer = Writer {
            conn,
            shadow,
            shared: Arc::clone(&shared),
            gate: Arc::new(Gate::default()),
            ballast,
            kept: Kept::default(),
            troubled,
        };
        let threads = start(writer, checkpoints, config.log_pages, lock)?;
        Ok(Self::new(shared, reader, feed, threads))
    }
}

/// The two threads. The lock is held by the writer's, until it is done.
fn start(writer: Writer, checkpoints: Connection, log_pages: u32, lock: DirectoryLock) -> Result<Threads, StoreError> {
    let (shared, gate) = (Arc::clone(&writer.shared), Arc::clone(&writer.gate));
    let checkpointer = spawn("beadle-checkpt", move || checkpoint::run(&checkpoints, &gate, &shared, log_pages))?;
    let writer = spawn("beadle-store", move || {
        writer.run();
        drop(lock);
    })?;
    Ok(Threads { writer, checkpointer })
}

/// Files of handlings that were never committed.
fn sweep(conn: &Connection, files: &Files) -> Result<(), StoreError> {
    let mut find = conn.prepare("SELECT 1 FROM media WHERE id = ?1")?;
    let find = std::cell::RefCell::new(&mut find);
    // Where it cannot be told, it stays.
    files.sweep(|id| find.borrow_mut().exists([id.0]).unwrap_or(true));
    Ok(())
}

/// Raises the fence: from now on what was prepared under an older one is not committed.
fn take_lanes(conn: &Connection) -> Result<i64, StoreError> {
    let fence = meta(conn, "fence")?.unwrap_or(0) + 1;
    set_meta(conn, "fence", fence)?;
    Ok(fence)
}

/// When it was closed last. The mark is taken off: who ends without closing leaves none.
fn take_mark(conn: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let closed_at = meta(conn, "closed_at")?.map(Timestamp);
    if closed_at.is_some() {
        conn.execute("DELETE FROM meta WHERE key = 'closed_at'", [])?;
    }
    Ok(closed_at)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let thread = std::thread::Builder::new().name(name.into());
    thread.spawn(work).map_err(StoreError::file("start a thread", name))
}

fn make_dir(dir: &Path) -> Result<(), StoreError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        // People's messages: nobody else's business.
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    }
    builder.create(dir).map_err(StoreError::file("make", dir))
}

/// The connection that writes, the fence that it was given, and when the store was closed last.
fn open_writer(path: &Path, config: &StoreConfig) -> Result<(Connection, i64, Option<Timestamp>), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    // The schema first: what is not ours is left as it was, also its journal.
    schema::migrate(&mut conn, path, schema::MIGRATIONS, config.clock.now())?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", LOG_LIMIT_BYTES)?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    if let Some(pages) = config.max_pages {
        conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    let fence = take_lanes(&conn)?;
    let closed_at = take_mark(&conn)?;
    Ok((conn, fence, closed_at))
}

/// A connection beside the writer's, to a database that exists.
pub(crate) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// The installation's name, made once: it marks what we send, so that another installation's receipts are not taken for
/// ours.
fn install(conn: &Connection) -> Result<String, StoreError> {
    once(conn, "install", || Ok(random::<4>()?.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// The key from which plugins' randomness is made.
fn host_key(conn: &Connection) -> Result<[u8; 32], StoreError> {
    once(conn, "host_key", random::<32>)
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::file("read randomness from", "the system")(std::io::Error::other(error)))?;
    Ok(bytes)
}

fn once<T: rusqlite::types::FromSql + rusqlite::ToSql>(
    conn: &Connection,
    key: &str,
    make: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    conn.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?1, ?2)", (key, make()?))?;
    Ok(conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))?)
}
