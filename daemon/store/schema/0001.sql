-- Version 1.
--
-- Rows that are written for every message are small and go to the right edge of their table; long
-- bodies are in append-only tables of their own. Times are milliseconds since 1970, UTC. Numbers of
-- kinds and states are those of the Rust enums of the same name and are never reused.

-- Single values: fence, install, host_key, finished_below, sending_from, next_event, next_message,
-- next_media, closed_at, window_lead_times, windows_armed, retention_trusted_at,
-- retention_jumped_at, retention_jump_seen_at.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE plugins (
    no          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    -- Its state, in `states`.
    state_no    INTEGER NOT NULL DEFAULT 0,
    -- Size of its timers, for the quota; kept by the triggers of `timers`.
    timer_bytes INTEGER NOT NULL DEFAULT 0,
    -- 1 while the plugin does not run: its timers and schedules wait.
    absent      INTEGER NOT NULL DEFAULT 0,
    -- What the catalog remembers across starts, as JSON.
    record      TEXT
) STRICT;

-- A plugin's whole state. A migration makes a copy that the plugin then takes; the previous one is
-- kept for a while, for a rollback.
CREATE TABLE states (
    no          INTEGER PRIMARY KEY,
    plugin      INTEGER NOT NULL,
    -- The plugin's number for the form of its state; 0 if it does not number them.
    version     INTEGER NOT NULL,
    -- Size of keys and values, for the quota.
    bytes       INTEGER NOT NULL DEFAULT 0,
    -- For a copy in progress: the fence of the process that makes it. 0: abandoned.
    draft       INTEGER,
    -- When the plugin took another state.
    retired_at  INTEGER
) STRICT;
CREATE INDEX states_by_plugin ON states (plugin);

CREATE TABLE state_values (
    state_no   INTEGER NOT NULL,
    scope      INTEGER NOT NULL,
    scope_id   INTEGER NOT NULL,
    key        TEXT NOT NULL,
    -- Bytes, or a counter as a number.
    value      ANY NOT NULL,
    -- The number of the commit that wrote it.
    version    INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (state_no, scope, scope_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX state_values_by_expiry ON state_values (expires_at) WHERE expires_at IS NOT NULL;

-- Lists of subscribers that events refer to. `plugins` is a JSON array of plugin numbers.
CREATE TABLE subscriber_lists (
    id      INTEGER PRIMARY KEY,
    plugins TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE contacts (
    id              INTEGER PRIMARY KEY,
    name            TEXT,
    language        TEXT,
    created_at      INTEGER NOT NULL,
    -- 0 never asked, 1 member, 2 left, 3 declined without having been a member.
    membership      INTEGER NOT NULL DEFAULT 0,
    member_since    INTEGER,
    opted_out_since INTEGER,
    -- IANA; set by an operator or derived from the phone number.
    timezone        TEXT,
    -- Marketing messages were turned off on the platform.
    marketing_stopped_since INTEGER,
    -- The contact that this one was merged into; only the id is left (src/merge.rs).
    merged_into     INTEGER
) STRICT;
CREATE INDEX contacts_merged ON contacts (merged_into) WHERE merged_into IS NOT NULL;
-- For schedules that fire per zone of members: which zones there are, and since when.
CREATE INDEX contacts_by_zone ON contacts (timezone, member_since) WHERE membership = 1;

CREATE TABLE aliases (
    kind       INTEGER NOT NULL,
    value      TEXT NOT NULL,
    contact    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_by_contact ON aliases (contact);

-- A sender used aliases of two contacts, which are probably one person. Only an operator merges them.
CREATE TABLE alias_conflicts (
    kind     INTEGER NOT NULL,
    value    TEXT NOT NULL,
    -- The contact that has the alias.
    holder   INTEGER NOT NULL,
    -- The contact that used it.
    claimant INTEGER NOT NULL,
    seen_at  INTEGER NOT NULL,
    PRIMARY KEY (kind, value, claimant)
) STRICT, WITHOUT ROWID;

-- Pairs of contacts that an operator marked as different people; the lower id first.
CREATE TABLE distinct_contacts (
    lower     INTEGER NOT NULL,
    higher    INTEGER NOT NULL,
    marked_at INTEGER NOT NULL,
    PRIMARY KEY (lower, higher)
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
    id              INTEGER PRIMARY KEY,
    channel         TEXT NOT NULL,
    -- One of the two: a contact, or a group of the platform.
    contact         INTEGER,
    platform_group  TEXT,
    -- In a group: the author of the last message.
    last_contact    INTEGER,
    -- How the channel reaches the contact: the best alias in the last message.
    address_kind    INTEGER,
    address         TEXT,
    -- Updated in place and not indexed, because every message changes them. 0: never.
    last_inbound_at INTEGER NOT NULL DEFAULT 0,
    window_until    INTEGER NOT NULL DEFAULT 0,
    -- The conversation that this one was merged into; only the id is left.
    merged_into     INTEGER,
    -- Messages are free until then, because the contact came from an advertisement.
    free_entry_until INTEGER
) STRICT;
CREATE INDEX conversations_merged ON conversations (merged_into) WHERE merged_into IS NOT NULL;
CREATE UNIQUE INDEX conversations_by_contact ON conversations (contact, channel) WHERE contact IS NOT NULL;
CREATE UNIQUE INDEX conversations_by_group ON conversations (channel, platform_group) WHERE platform_group IS NOT NULL;

CREATE TABLE events (
    id              INTEGER PRIMARY KEY,
    key_at          INTEGER NOT NULL,
    key_hash        BLOB NOT NULL,
    kind            INTEGER NOT NULL,
    conversation    INTEGER,
    contact         INTEGER,
    happened_at     INTEGER NOT NULL,
    received_at     INTEGER NOT NULL,
    -- 0 new, 1 begun, 2 finished.
    state           INTEGER NOT NULL DEFAULT 0,
    subscriber_list INTEGER,
    -- Bit n: the subscriber at position n of the list is done (positions 0 to 62).
    done            INTEGER NOT NULL DEFAULT 0,
    -- 0 passed, 1 claimed, 2 stopped, 3 host, 4 claimed with a question; and by which plugin.
    ending          INTEGER,
    ended_by        INTEGER
) STRICT;
CREATE UNIQUE INDEX events_by_key ON events (key_at, key_hash);

CREATE TABLE event_bodies (
    id   INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

-- Handlings that did not succeed at the first attempt, and all of subscribers at position 63 or later.
CREATE TABLE handlings (
    event    INTEGER NOT NULL,
    plugin   INTEGER NOT NULL,
    -- 0 to be retried, 1 done, 2 given up, 3 waiting until its plugin is available, 4 passed over.
    state    INTEGER NOT NULL,
    -- 1 if the subscriber's position is 63 or later, so that `events.done` has no bit for it.
    overflow INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL,
    code     TEXT,
    error    TEXT,
    next_at  INTEGER,
    PRIMARY KEY (event, plugin)
) STRICT, WITHOUT ROWID;
CREATE INDEX handlings_failing ON handlings (event, plugin) WHERE state = 0;
CREATE INDEX handlings_waiting ON handlings (plugin, event) WHERE state = 3;

CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY,
    event        INTEGER,
    plugin       INTEGER NOT NULL,
    conversation INTEGER NOT NULL,
    -- That of the conversation, so that each channel's queue is a range of the index. '': the conversation was gone.
    channel      TEXT NOT NULL,
    reply        INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    -- While queued: the earliest time to send it, 0 where no rule deferred it. Then when it was sent.
    due_at       INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    possibly_duplicate  INTEGER NOT NULL DEFAULT 0,
    -- The platform's id, and the number by which it is found (src/append/quotes.rs).
    platform_id  TEXT,
    platform_key INTEGER,
    -- The furthest receipt: 1 sent, 2 failed, 3 delivered, 4 read, 5 played; and the time of each.
    receipt      INTEGER,
    sent_at      INTEGER,
    delivered_at INTEGER,
    read_at      INTEGER,
    played_at    INTEGER,
    failed_at    INTEGER,
    -- Why it failed or was given up, as JSON.
    problem      TEXT,
    -- The price that the platform reported first, as JSON.
    pricing      TEXT
) STRICT;
CREATE INDEX outbox_due ON outbox (channel, due_at) WHERE state = 0;
CREATE INDEX outbox_by_platform ON outbox (platform_key) WHERE platform_key IS NOT NULL;

CREATE TABLE outbox_bodies (
    id   INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE timers (
    id           INTEGER PRIMARY KEY,
    plugin       INTEGER NOT NULL,
    scope        INTEGER NOT NULL,
    scope_id     INTEGER NOT NULL,
    key          TEXT NOT NULL,
    due_at       INTEGER NOT NULL,
    conversation INTEGER,
    payload      BLOB NOT NULL,
    UNIQUE (plugin, scope, scope_id, key)
) STRICT;
-- The due timers of one plugin are a range: one that has too many, or that is absent, costs the others nothing.
CREATE INDEX timers_due ON timers (plugin, due_at);

-- A timer counts with its key, its payload and 64 bytes (src/quota.rs).
CREATE TRIGGER timer_inserted AFTER INSERT ON timers BEGIN
    UPDATE plugins SET timer_bytes = timer_bytes + octet_length(NEW.key) + length(NEW.payload) + 64
    WHERE no = NEW.plugin;
END;
CREATE TRIGGER timer_replaced AFTER UPDATE OF payload ON timers BEGIN
    UPDATE plugins SET timer_bytes = timer_bytes + length(NEW.payload) - length(OLD.payload)
    WHERE no = NEW.plugin;
END;
CREATE TRIGGER timer_deleted AFTER DELETE ON timers BEGIN
    UPDATE plugins SET timer_bytes = timer_bytes - octet_length(OLD.key) - length(OLD.payload) - 64
    WHERE no = OLD.plugin;
END;

-- Open windows. `due_at` is the next check. It does not move when the window is renewed but when the
-- check is due, so it is never later than the window's end, which is in `conversations`.
CREATE TABLE windows (
    conversation     INTEGER PRIMARY KEY,
    due_at           INTEGER NOT NULL,
    -- The last expiry notice: the end of the window that it was about, and its lead time.
    notified_until   INTEGER,
    notified_lead_ms INTEGER
) STRICT;
CREATE INDEX windows_due ON windows (due_at);

-- Entries of `[[schedule]]` that are configured, or were and have a history.
CREATE TABLE schedules (
    no         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    -- A hash of what determines its times. A different one means that the entry was edited.
    plan       BLOB NOT NULL,
    -- When it was removed from the configuration.
    removed_at INTEGER
) STRICT;

-- How far each plugin is with a schedule: an absent plugin catches up later.
CREATE TABLE schedule_plugins (
    schedule      INTEGER NOT NULL,
    plugin        INTEGER NOT NULL,
    -- Every planned time up to here is decided: fired, skipped or missed.
    decided_until INTEGER NOT NULL,
    PRIMARY KEY (schedule, plugin)
) STRICT, WITHOUT ROWID;

-- The outcome of each planned time, per plugin and zone.
CREATE TABLE firings (
    id         INTEGER PRIMARY KEY,
    schedule   INTEGER NOT NULL,
    planned_at INTEGER NOT NULL,
    -- The planned time plus jitter.
    due_at     INTEGER NOT NULL,
    plugin     INTEGER NOT NULL,
    -- Empty unless the schedule fires once per zone of members.
    zone       TEXT NOT NULL,
    -- 1 fired, 2 caught up, 3 skipped, 4 missed, 5 run by an operator.
    outcome    INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    event      INTEGER,
    -- The number of planned times that this row covers: consecutive missed ones share a row.
    moments    INTEGER NOT NULL DEFAULT 1
) STRICT;
-- A planned time fires once, even if the clock was set back and reaches it again.
CREATE UNIQUE INDEX firings_by_moment ON firings (schedule, planned_at, plugin, zone) WHERE outcome <> 5;
CREATE INDEX firings_by_schedule ON firings (schedule);

-- Text files that people wrote for a plugin.
CREATE TABLE documents (
    plugin  INTEGER NOT NULL,
    name    TEXT NOT NULL,
    hash    BLOB NOT NULL,
    size    INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (plugin, name)
) STRICT, WITHOUT ROWID;

-- Their texts by hash, so that a handling reads the version that it listed whatever changes meanwhile.
CREATE TABLE document_bodies (
    hash               BLOB PRIMARY KEY,
    body               TEXT NOT NULL,
    -- Since when no document has this text.
    unreferenced_since INTEGER
) STRICT;

-- What was given up and waits for an operator: a handling (event and plugin) or a message.
CREATE TABLE dead_letters (
    id         INTEGER PRIMARY KEY,
    event      INTEGER,
    plugin     INTEGER NOT NULL,
    message    INTEGER UNIQUE,
    attempts   INTEGER NOT NULL,
    code       TEXT NOT NULL,
    error      TEXT NOT NULL,
    at         INTEGER NOT NULL,
    -- The last retry by an operator.
    retried_at INTEGER
) STRICT;
-- By the time since which nothing happened to them, for retention.
CREATE INDEX dead_letters_by_age ON dead_letters (max(at, coalesce(retried_at, 0)));
CREATE UNIQUE INDEX dead_letters_of_handlings ON dead_letters (event, plugin) WHERE message IS NULL;
-- Retention asks for each event whether it has any.
CREATE INDEX dead_letters_by_event ON dead_letters (event);

-- Authentic webhooks, and parts of them, that could not be parsed; byte for byte, for an operator.
CREATE TABLE rejected_webhooks (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    app         TEXT NOT NULL,
    code        TEXT NOT NULL,
    error       TEXT NOT NULL,
    -- Of app and body, because the platform repeats what it believes to be lost.
    hash        BLOB NOT NULL UNIQUE,
    deliveries  INTEGER NOT NULL DEFAULT 1,
    received_at INTEGER NOT NULL,
    retried_at  INTEGER,
    bytes       INTEGER NOT NULL,
    body        BLOB NOT NULL
) STRICT;
-- For their total size, without reading their bodies.
CREATE INDEX rejected_webhooks_by_size ON rejected_webhooks (bytes);

-- In a group every member has receipts; `participant` is a contact.
CREATE TABLE group_receipts (
    message     INTEGER NOT NULL,
    participant INTEGER NOT NULL,
    receipt     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    pricing     TEXT,
    PRIMARY KEY (message, participant)
) STRICT, WITHOUT ROWID;

-- A mirror of the platform's groups, as far as it reported them. A group is a conversation; this is
-- the rest of what is known about it.
CREATE TABLE platform_groups (
    conversation      INTEGER PRIMARY KEY,
    subject           TEXT,
    description       TEXT,
    invite_link       TEXT,
    approval_required INTEGER,
    suspended         INTEGER NOT NULL DEFAULT 0,
    deleted_at        INTEGER
) STRICT;

CREATE TABLE group_members (
    conversation INTEGER NOT NULL,
    contact      INTEGER NOT NULL,
    joined_at    INTEGER NOT NULL,
    left_at      INTEGER,
    PRIMARY KEY (conversation, contact)
) STRICT, WITHOUT ROWID;

CREATE TABLE join_requests (
    conversation INTEGER NOT NULL,
    request      TEXT NOT NULL,
    contact      INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    PRIMARY KEY (conversation, request)
) STRICT, WITHOUT ROWID;

-- Files that arrived with messages or that plugins created. The bytes are under media/ (src/files.rs).
CREATE TABLE media (
    id           INTEGER PRIMARY KEY,
    -- For a received file: its channel and conversation, and the platform's id of the bytes.
    channel      TEXT,
    conversation INTEGER,
    platform_id  TEXT,
    -- For a created file: its author.
    plugin       INTEGER,
    mime_type    TEXT NOT NULL,
    filename     TEXT,
    sha256       TEXT,
    bytes        INTEGER,
    -- 0 pending, 1 stored, 2 failed.
    state        INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_at      INTEGER NOT NULL DEFAULT 0,
    error        TEXT,
    created_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX media_pending ON media (next_at) WHERE state = 0;

-- The number and size of files by author (0: received ones), kept by the triggers below, because every file of a plugin,
-- every retention and every scrape of the metrics asks for them. Failed ones do not count.
CREATE TABLE media_totals (
    plugin INTEGER PRIMARY KEY,
    files  INTEGER NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT;
CREATE TRIGGER media_inserted AFTER INSERT ON media BEGIN
    INSERT INTO media_totals (plugin, files, bytes)
    VALUES (coalesce(NEW.plugin, 0), NEW.state < 2, coalesce(NEW.bytes, 0))
    ON CONFLICT (plugin) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER media_settled AFTER UPDATE OF state, bytes ON media BEGIN
    UPDATE media_totals SET files = files + (NEW.state < 2) - (OLD.state < 2),
        bytes = bytes + coalesce(NEW.bytes, 0) - coalesce(OLD.bytes, 0)
    WHERE plugin = coalesce(NEW.plugin, 0);
END;
CREATE TRIGGER media_deleted AFTER DELETE ON media BEGIN
    UPDATE media_totals SET files = files - (OLD.state < 2), bytes = bytes - coalesce(OLD.bytes, 0)
    WHERE plugin = coalesce(OLD.plugin, 0);
END;

-- Files that were uploaded to a channel, and until when the platform keeps them.
CREATE TABLE uploads (
    media       INTEGER NOT NULL,
    channel     TEXT NOT NULL,
    platform_id TEXT NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (media, channel)
) STRICT, WITHOUT ROWID;
