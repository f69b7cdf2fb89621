-- Version 1. What is written for every message is kept small and goes to the right edge of its table; what is long lies
-- in a table of its own that is only ever appended to. Times are milliseconds since 1970, UTC. Numbers of kinds and
-- states are those of the Rust enums beside them and are never used again for something else.

-- Single facts: fence, install, host_key, finished_below, sending_from, next_event, next_message, closed_at.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE plugins (
    no          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    -- Its state, in `states`.
    state_no    INTEGER NOT NULL DEFAULT 0,
    -- 1 while it does not take part: its timers wait.
    away        INTEGER NOT NULL DEFAULT 0,
    -- What is remembered of it across starts, as JSON: see beadle-catalog.
    record      TEXT
) STRICT;

-- A plugin's state as a whole. A migration makes the next one beside it and then takes it; the one before is kept for a
-- while, to go back to.
CREATE TABLE states (
    no          INTEGER PRIMARY KEY,
    plugin      INTEGER NOT NULL,
    -- As the plugin numbers the forms of what it keeps; 0 where it does not.
    version     INTEGER NOT NULL,
    -- Keys and values, so that a quota is asked without adding up.
    bytes       INTEGER NOT NULL DEFAULT 0,
    -- Nobody's yet: the fence of the process that makes it; 0: nobody's any more.
    draft       INTEGER,
    -- When the plugin took another.
    left_at     INTEGER
) STRICT;
CREATE INDEX states_by_plugin ON states (plugin);

-- Lists of subscribers; an event names one of them. `plugins` is a JSON array of plugin numbers.
CREATE TABLE rosters (
    id      INTEGER PRIMARY KEY,
    plugins TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE contacts (
    id              INTEGER PRIMARY KEY,
    name            TEXT,
    language        TEXT,
    created_at      INTEGER NOT NULL,
    -- 0 never asked, 1 member, 2 was one and left, 3 declined before ever being one.
    membership      INTEGER NOT NULL DEFAULT 0,
    member_since    INTEGER,
    opted_out_since INTEGER,
    -- IANA, as far as their number tells.
    timezone        TEXT,
    -- They told the platform that they want no marketing.
    marketing_stopped_since INTEGER,
    -- It is one with this contact now, and only its id is left: see src/merge.rs.
    merged_into     INTEGER
) STRICT;
CREATE INDEX contacts_merged ON contacts (merged_into) WHERE merged_into IS NOT NULL;
-- Which zones members live in, and since when, is asked for each firing of a schedule that goes by them.
CREATE INDEX contacts_by_zone ON contacts (timezone, member_since) WHERE membership = 1;

CREATE TABLE aliases (
    kind       INTEGER NOT NULL,
    value      TEXT NOT NULL,
    contact    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_by_contact ON aliases (contact);

-- Someone came under names of two contacts. Nobody was merged; a person may want to.
CREATE TABLE alias_clashes (
    kind    INTEGER NOT NULL,
    value   TEXT NOT NULL,
    holder  INTEGER NOT NULL,
    claimed INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (kind, value, claimed)
) STRICT, WITHOUT ROWID;

-- Pairs of contacts that a person said are not one; the lower number first.
CREATE TABLE kept_apart (
    a  INTEGER NOT NULL,
    b  INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (a, b)
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
    id              INTEGER PRIMARY KEY,
    channel         TEXT NOT NULL,
    -- One of the two: a person, or a group of the platform.
    contact         INTEGER,
    platform_group  TEXT,
    -- In a group, who wrote last.
    last_contact    INTEGER,
    -- How the channel reaches them: the best alias that the last message named.
    address_kind    INTEGER,
    address         TEXT,
    -- In place and without an index: they change with every message. 0 is never.
    last_inbound_at INTEGER NOT NULL DEFAULT 0,
    window_until    INTEGER NOT NULL DEFAULT 0,
    -- It is one with this conversation now, and only its id is left.
    merged_into     INTEGER,
    -- They came by an advertisement: until then the platform takes no money for messages.
    free_entry_until INTEGER
) STRICT;
CREATE INDEX conversations_merged ON conversations (merged_into) WHERE merged_into IS NOT NULL;
CREATE UNIQUE INDEX conversations_by_contact ON conversations (contact, channel) WHERE contact IS NOT NULL;
CREATE UNIQUE INDEX conversations_by_group ON conversations (channel, platform_group) WHERE platform_group IS NOT NULL;

CREATE TABLE events (
    id           INTEGER PRIMARY KEY,
    key_at       INTEGER NOT NULL,
    key_hash     BLOB NOT NULL,
    kind         INTEGER NOT NULL,
    conversation INTEGER,
    contact      INTEGER,
    happened_at  INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    -- 0 new, 1 begun, 2 finished.
    state        INTEGER NOT NULL DEFAULT 0,
    roster       INTEGER,
    done         INTEGER NOT NULL DEFAULT 0,
    -- 0 passed, 1 claimed, 2 stopped, 3 host, 4 claimed with a question; and by which plugin.
    ending       INTEGER,
    ended_by     INTEGER
) STRICT;
CREATE UNIQUE INDEX events_by_key ON events (key_at, key_hash);

CREATE TABLE event_bodies (
    id   INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

-- Only handlings that did not end well at the first try, and those of subscribers in place 63 and later.
CREATE TABLE handlings (
    event    INTEGER NOT NULL,
    plugin   INTEGER NOT NULL,
    -- 0 to be tried again, 1 done, 2 given up, 3 kept until its plugin can be asked, 4 passed over.
    state    INTEGER NOT NULL,
    -- Its place in the roster is 63 or later, so that `done` has no bit for it.
    beyond   INTEGER NOT NULL DEFAULT 0,
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
    reply        INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    maybe_twice  INTEGER NOT NULL DEFAULT 0,
    -- The platform's id, and the number by which it is found: see src/append/quotes.rs.
    platform     TEXT,
    platform_key INTEGER,
    -- The furthest receipt: 1 sent, 2 failed, 3 delivered, 4 read, 5 played; and when each came.
    receipt      INTEGER,
    sent_at      INTEGER,
    delivered_at INTEGER,
    read_at      INTEGER,
    played_at    INTEGER,
    failed_at    INTEGER,
    -- Why it failed or was given up, as JSON.
    problem      TEXT,
    -- What the platform says that it costs, as JSON; the first word stands.
    pricing      TEXT
) STRICT;
CREATE INDEX outbox_due ON outbox (due_at) WHERE state = 0;
CREATE INDEX outbox_by_platform ON outbox (platform_key) WHERE platform_key IS NOT NULL;

CREATE TABLE outbox_bodies (
    id   INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE state (
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
CREATE INDEX state_expiring ON state (expires_at) WHERE expires_at IS NOT NULL;

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
CREATE INDEX timers_due ON timers (due_at);

-- Windows that are open. `due_at` is when to look next: it is not moved when the window is renewed, but when it is due, so
-- it is never later than the window's end. What the window is now stands in `conversations`.
CREATE TABLE windows (
    conversation INTEGER PRIMARY KEY,
    due_at       INTEGER NOT NULL,
    -- The end of the window that was last told of, and the shortest lead time that it was told at.
    told_until   INTEGER,
    told_lead_ms INTEGER
) STRICT;
CREATE INDEX windows_due ON windows (due_at);

-- Entries of `[[schedule]]` that are configured, or were and have a history.
CREATE TABLE schedules (
    no         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    -- A hash of what decides its moments; another one means that it was edited.
    plan       BLOB NOT NULL,
    -- When it was taken out of the configuration.
    removed_at INTEGER
) STRICT;

-- How far each plugin is with a schedule: one that is away is told later of what it missed.
CREATE TABLE schedule_plugins (
    schedule      INTEGER NOT NULL,
    plugin        INTEGER NOT NULL,
    -- Every moment up to here is decided: it fired, was skipped, or was missed.
    decided_until INTEGER NOT NULL,
    PRIMARY KEY (schedule, plugin)
) STRICT, WITHOUT ROWID;

-- What became of each planned moment, for each plugin and zone.
CREATE TABLE firings (
    id         INTEGER PRIMARY KEY,
    schedule   INTEGER NOT NULL,
    planned_at INTEGER NOT NULL,
    -- The same with its jitter.
    due_at     INTEGER NOT NULL,
    plugin     INTEGER NOT NULL,
    -- Empty but for schedules that fire for each zone of members.
    zone       TEXT NOT NULL,
    -- 1 fired, 2 caught up, 3 skipped, 4 missed, 5 run by hand.
    outcome    INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    event      INTEGER,
    -- Moments that this row stands for: those that were missed together are one row.
    moments    INTEGER NOT NULL DEFAULT 1
) STRICT;
-- A moment fires once, also where the clock was set back and it comes again.
CREATE UNIQUE INDEX firings_by_moment ON firings (schedule, planned_at, plugin, zone) WHERE outcome <> 5;
CREATE INDEX firings_by_schedule ON firings (schedule);

-- The text files that people wrote for a plugin.
CREATE TABLE documents (
    plugin  INTEGER NOT NULL,
    name    TEXT NOT NULL,
    hash    BLOB NOT NULL,
    size    INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (plugin, name)
) STRICT, WITHOUT ROWID;

-- Their texts, by their hash: a handling that has listed them reads what it listed, whatever changes meanwhile.
CREATE TABLE document_bodies (
    hash    BLOB PRIMARY KEY,
    body    TEXT NOT NULL,
    -- Since when no document has this text.
    gone_at INTEGER
) STRICT;

-- What was given up and waits for a person: a handling (event and plugin) or a message.
CREATE TABLE dead (
    id         INTEGER PRIMARY KEY,
    event      INTEGER,
    plugin     INTEGER NOT NULL,
    message    INTEGER UNIQUE,
    attempts   INTEGER NOT NULL,
    code       TEXT NOT NULL,
    error      TEXT NOT NULL,
    at         INTEGER NOT NULL,
    -- When a person last had it tried again.
    retried_at INTEGER
) STRICT;
CREATE UNIQUE INDEX dead_handlings ON dead (event, plugin) WHERE message IS NULL;

-- Webhooks, and parts of them, that are authentic and could not be understood: as they came, for a person.
CREATE TABLE letters (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    app         TEXT NOT NULL,
    code        TEXT NOT NULL,
    error       TEXT NOT NULL,
    -- Of app and body: the platform repeats what it thinks was lost.
    hash        BLOB NOT NULL UNIQUE,
    times       INTEGER NOT NULL DEFAULT 1,
    received_at INTEGER NOT NULL,
    retried_at  INTEGER,
    bytes       INTEGER NOT NULL,
    body        BLOB NOT NULL
) STRICT;

-- In a group every member has receipts of their own; `participant` is a contact.
CREATE TABLE group_receipts (
    message     INTEGER NOT NULL,
    participant INTEGER NOT NULL,
    receipt     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    pricing     TEXT,
    PRIMARY KEY (message, participant)
) STRICT, WITHOUT ROWID;

-- The platform's groups as far as it told: a mirror. A group is a conversation; this is what else is known of it.
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
    asked_at     INTEGER NOT NULL,
    PRIMARY KEY (conversation, request)
) STRICT, WITHOUT ROWID;

-- Files: what came with messages, and what plugins made to send. The bytes lie under media/, see src/media.rs.
CREATE TABLE media (
    id           INTEGER PRIMARY KEY,
    -- What came in: on which channel, in which conversation, and the platform's id of the bytes.
    channel      TEXT,
    conversation INTEGER,
    platform     TEXT,
    -- What was made: by whom.
    plugin       INTEGER,
    mime_type    TEXT NOT NULL,
    filename     TEXT,
    sha256       TEXT,
    bytes        INTEGER,
    -- 0 coming, 1 here, 2 it cannot be had.
    state        INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_at      INTEGER NOT NULL DEFAULT 0,
    error        TEXT,
    created_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX media_coming ON media (next_at) WHERE state = 0;

-- Where a file was uploaded already, and until when the platform keeps it.
CREATE TABLE uploads (
    media      INTEGER NOT NULL,
    channel    TEXT NOT NULL,
    platform   TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (media, channel)
) STRICT, WITHOUT ROWID;
