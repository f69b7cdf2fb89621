//! Opening the store: lock, ballast, schema, connections, and the two threads.

use crate::ballast::Ballast;
use crate::checkpoint::{self, Gate};
use crate::connection::{BUSY_TIMEOUT, STATEMENT_CACHE, connect};
use crate::deferred::Deferred;
use crate::error::StoreError;
use crate::feed::{Feed, Tail};
use crate::files::Files;
use crate::handle::{Store, Threads};
use crate::lock::DirectoryLock;
use crate::meta::{meta, set_meta};
use crate::queue::Queue;
use crate::random::random;
use crate::read::Reader;
use crate::schema;
use crate::shared::{Counters, Names, Shared};
use crate::tx::Tx;
use crate::writer::Writer;
use crate::writer_cache::WriterCache;
use beadle_clock::Clock;
use beadle_model::{Coded as _, EventId, Timestamp};
use beadle_tasks::{TaskKind, Tasks};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The writer's page cache: room for the right edges of all tables and the inner pages of a
/// database of 10 million events. Only what is used is allocated.
const WRITER_CACHE_KIB: i64 = 32 << 10;

/// The size to which the log is truncated when it restarts, so that a burst does not occupy the
/// disk for good.
const LOG_LIMIT_BYTES: i64 = 128 << 20;

/// How long a start waits for a program that locks the database. Then it fails, and the service
/// manager starts it again: more seldom than would use up the starts that it allows.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// How to open the store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The data directory, created if missing. It holds `beadle.db`, `beadle.lock`, `ballast`,
    /// `media/` and `backups/`.
    pub dir: PathBuf,
    /// Civil time, for when events were received.
    pub clock: Clock,
    /// The maximum number of steps that wait for the writer.
    pub queue: usize,
    /// The maximum number of reading connections, opened when needed.
    pub readers: usize,
    /// The maximum number of events that wait in memory for the pipeline; the rest wait on disk.
    pub feed_events: usize,
    /// The maximum size of their bodies.
    pub feed_bytes: usize,
    /// The number of contacts in the cache, with their conversations; about a kilobyte each.
    pub cached_people: usize,
    /// The size of the write-ahead log, in pages of 4 KiB, at which it restarts.
    pub log_pages: u32,
    /// The maximum size of the write-ahead log, which only a reader of another process can make it
    /// reach. Then new work is refused until the log can restart.
    pub log_limit_bytes: u64,
    /// The size of the file that is deleted to make room on a full disk; 0 for none.
    pub ballast_bytes: u64,
    /// The maximum size of the database in pages of 4 KiB, if any; also used to test a full disk.
    pub max_pages: Option<u32>,
    /// Supervises the store's threads.
    pub tasks: Tasks,
}

impl StoreConfig {
    /// The default sizes. 4,096 steps are 0.1 s of work at full load; a caller that is further
    /// behind should retry. 8 readers are more than there are threads that read at once. A log of
    /// 64 MiB is a few seconds of full load: a smaller one copies hot pages more often, a larger
    /// one slows down readers and the next start.
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
            log_limit_bytes: 1 << 30,
            ballast_bytes: 16 << 20,
            max_pages: None,
            tasks: Tasks::default(),
        }
    }
}

impl Store {
    /// Opens the store, creates or migrates its database, and starts its threads. Blocks as long as
    /// a migration takes.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another daemon uses the directory; [`StoreError::Newer`] or
    /// [`StoreError::Foreign`] if the database is not one for this version;
    /// [`StoreError::DiskFullAtStart`] if there is no space even without the ballast;
    /// [`StoreError::File`] and [`StoreError::Sqlite`] for other failures.
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let dir = config.dir.clone();
        Self::open_in(config).map_err(|error| error.at_start(&dir))
    }

    fn open_in(config: StoreConfig) -> Result<Self, StoreError> {
        make_dir(&config.dir)?;
        let lock = DirectoryLock::take(&config.dir)?;
        let ballast = Ballast::new(&config.dir, config.ballast_bytes);
        if let Err(error) = ballast.take() {
            tracing::warn!(%error, "no room for the ballast file");
        }
        let path = config.dir.join("beadle.db");
        let ((conn, fence, closed_at), failing_since) = match open_unlocked_writer(&path, &config) {
            Ok(writer) => (writer, None),
            // Outcomes of sends may be waiting to be written. Deleting the ballast makes room to
            // start.
            Err(error) if error.is_storage() && !error.is_lock() => {
                ballast.free();
                (open_writer(&path, &config)?, Some(Instant::now()))
            }
            Err(error) => return Err(error),
        };
        let mut cache = WriterCache::load(&conn, config.cached_people, fence)?;
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
            counters: Counters::default(),
            next_message: AtomicI64::new(next_message),
            names: Names::load(&conn)?,
            files: files.clone(),
            log_limit_bytes: config.log_limit_bytes,
            privacy: watch::Sender::new(0),
        });
        begin_ledger(&conn, &mut cache, &shared)?;
        restore_erasures(&conn, &mut cache, &shared)?;
        let reader = Reader::new(path.clone(), files, config.readers);
        let queue = Arc::new(Queue::new(config.queue));
        let newest = cache.next_event - 1;
        let tail = Arc::new(Tail::new(newest, config.feed_events, config.feed_bytes, config.clock.clone()));
        reader.reports().connect(&queue, &config.clock);
        let feed = Feed::new(Arc::clone(&tail), reader.clone(), EventId(cache.finished_below));
        if failing_since.is_some() {
            shared.counters.set_trouble(Some(StoreError::DiskFull { path: config.dir.clone() }.to_string()));
        }
        let checkpoints = connect(&path)?;
        let writer = Writer {
            conn,
            cache,
            shared: Arc::clone(&shared),
            queue: Arc::clone(&queue),
            tail: Arc::clone(&tail),
            gate: Arc::new(Gate::default()),
            ballast,
            deferred: Deferred::default(),
            is_locked: false,
            failing_since,
        };
        let threads = start(writer, checkpoints, &config, lock)?;
        Ok(Self::new(shared, (queue, tail), reader, feed, threads))
    }
}

/// Records what was known about people before there was a ledger. A full disk does not keep the
/// store from opening: the next start does it.
fn begin_ledger(conn: &Connection, cache: &mut WriterCache, shared: &Shared) -> Result<(), StoreError> {
    let mut tx = Tx { conn, cache, shared, inserted: Vec::new() };
    let begun = tx.begin().and_then(|()| tx.begin_ledger(shared.clock.now())).and_then(|()| tx.commit_all());
    match begun {
        Err(error) if error.is_storage() => {
            tracing::warn!(%error, "consent ledger not begun");
            // Storage fails: there may be no transaction to end.
            let _ = conn.execute_batch("ROLLBACK");
            cache.reload(conn)
        }
        other => other,
    }
}

/// Erases again what a restored backup contains. Until that has begun, nothing else does.
fn restore_erasures(conn: &Connection, cache: &mut WriterCache, shared: &Shared) -> Result<(), StoreError> {
    let mut tx = Tx { conn, cache, shared, inserted: Vec::new() };
    tx.begin()?;
    crate::erasure::restore::repeat_erasures(&mut tx)?;
    tx.commit_all()
}

/// Starts the two threads. The writer's thread holds the lock until it ends.
fn start(
    writer: Writer,
    checkpoints: Connection,
    config: &StoreConfig,
    lock: DirectoryLock,
) -> Result<Threads, StoreError> {
    let (shared, gate, log_pages) = (Arc::clone(&writer.shared), Arc::clone(&writer.gate), config.log_pages);
    let failed = |name| StoreError::file("start a thread", name);
    let checkpointer = config
        .tasks
        .thread(TaskKind::Checkpoint, "beadle-checkpt", move |heartbeat| {
            checkpoint::run(&checkpoints, &gate, &shared, log_pages, heartbeat);
        })
        .map_err(failed("beadle-checkpt"))?;
    let mut writer = Some((writer, lock));
    let writer = config
        .tasks
        .thread(TaskKind::StoreWriter, "beadle-store", move |heartbeat| {
            if let Some((writer, lock)) = writer.take() {
                writer.run(heartbeat);
                drop(lock);
            }
        })
        .map_err(failed("beadle-store"))?;
    Ok(Threads { writer, checkpointer })
}

/// Deletes files of handlings that were never committed.
fn sweep(conn: &Connection, files: &Files) -> Result<(), StoreError> {
    let mut find = conn.prepare("SELECT 1 FROM media WHERE id = ?1")?;
    let find = std::cell::RefCell::new(&mut find);
    // If the database cannot tell, the file stays.
    files.sweep(|id| find.borrow_mut().exists([id.0]).unwrap_or(true));
    Ok(())
}

/// Raises the fence, so that what was prepared under an older one is not committed.
fn raise_fence(conn: &Connection) -> Result<i64, StoreError> {
    let fence = meta(conn, "fence")?.unwrap_or(0) + 1;
    set_meta(conn, "fence", fence)?;
    Ok(fence)
}

/// When the store was last closed in order. Removes the mark, so that a crash leaves none.
fn take_closed_at(conn: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let closed_at = meta(conn, "closed_at")?.map(Timestamp);
    if closed_at.is_some() {
        conn.execute("DELETE FROM meta WHERE key = 'closed_at'", [])?;
    }
    Ok(closed_at)
}

fn make_dir(dir: &Path) -> Result<(), StoreError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        // The directory holds people's messages.
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    }
    builder.create(dir).map_err(StoreError::file("create", dir))
}

/// The writing connection, its fence, and when the store was last closed. Opens the writer's
/// connection, and waits while another program (a backup, an editor) locks the database.
fn open_unlocked_writer(path: &Path, config: &StoreConfig) -> Result<(Connection, i64, Option<Timestamp>), StoreError> {
    let started = Instant::now();
    let mut is_told = false;
    loop {
        match open_writer(path, config) {
            Err(error) if error.is_lock() && started.elapsed() < LOCK_WAIT => {
                if !is_told {
                    let (wait_s, path) = (LOCK_WAIT.as_secs(), path.display());
                    tracing::warn!(code = error.code(), %path, wait_s, "database locked by another program, waiting");
                }
                is_told = true;
            }
            opened => return opened,
        }
    }
}

fn open_writer(path: &Path, config: &StoreConfig) -> Result<(Connection, i64, Option<Timestamp>), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    // The schema comes first, so that a database of another program stays untouched, with its
    // journal.
    schema::migrate(&mut conn, path, schema::MIGRATIONS, config.clock.now())?;
    conn.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", LOG_LIMIT_BYTES)?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // What is deleted is overwritten: an erasure leaves nothing in free pages.
    conn.pragma_update_and_check(None, "secure_delete", "ON", |_| Ok(()))?;
    if let Some(pages) = config.max_pages {
        conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    let fence = raise_fence(&conn)?;
    let closed_at = take_closed_at(&conn)?;
    Ok((conn, fence, closed_at))
}

/// The installation's random name, created once. It marks sent messages, so that another
/// installation's receipts are not taken for our own.
fn install(conn: &Connection) -> Result<String, StoreError> {
    get_or_create(conn, "install", || Ok(beadle_model::text::hex(random::<4>()?)))
}

/// The key from which plugins' randomness is derived.
fn host_key(conn: &Connection) -> Result<[u8; 32], StoreError> {
    get_or_create(conn, "host_key", random::<32>)
}

fn get_or_create<T: rusqlite::types::FromSql + rusqlite::ToSql>(
    conn: &Connection,
    key: &str,
    make: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    conn.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?1, ?2)", (key, make()?))?;
    Ok(conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))?)
}
