-- Version 11: durable requests of plugins to other servers.

CREATE TABLE durable_requests (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    plugin     INTEGER NOT NULL,
    -- Whom it is about: as in `timers`.
    scope      INTEGER NOT NULL,
    scope_id   INTEGER NOT NULL,
    -- The event in whose handling it was made.
    event      INTEGER NOT NULL,
    -- Requests with the same key are sent one after another; NULL: in no order.
    key        TEXT,
    -- 0 live, 1 backfill.
    traffic    INTEGER NOT NULL,
    -- 0 queued, 1 being sent, 2 given up, 3 waits for an earlier one with its key.
    state      INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    method     TEXT NOT NULL,
    url        TEXT NOT NULL,
    -- A list of names and values, in JSON.
    headers    TEXT NOT NULL,
    body       BLOB NOT NULL,
    -- Returned with the response.
    context    TEXT NOT NULL,
    -- What it counts against the plugin's limit.
    bytes      INTEGER NOT NULL,
    -- The last failure, and when it was given up and sent again.
    code       TEXT,
    error      TEXT,
    ended_at   INTEGER,
    retried_at INTEGER
) STRICT;
CREATE INDEX open_requests ON durable_requests (plugin, key, id) WHERE state <> 2;
CREATE INDEX due_requests ON durable_requests (plugin, traffic, due_at, id) WHERE state = 0;
CREATE INDEX sending_requests ON durable_requests (id) WHERE state = 1;
CREATE INDEX given_up_requests ON durable_requests (ended_at, id) WHERE state = 2;
CREATE INDEX requests_by_scope ON durable_requests (scope, scope_id) WHERE scope > 0;

-- What each plugin has in `durable_requests`.
CREATE TABLE request_totals (
    plugin   INTEGER PRIMARY KEY,
    requests INTEGER NOT NULL,
    bytes    INTEGER NOT NULL
) STRICT;
CREATE TRIGGER request_added AFTER INSERT ON durable_requests BEGIN
    INSERT INTO request_totals (plugin, requests, bytes) VALUES (NEW.plugin, 1, NEW.bytes)
    ON CONFLICT DO UPDATE SET requests = requests + 1, bytes = bytes + NEW.bytes;
END;
CREATE TRIGGER request_removed AFTER DELETE ON durable_requests BEGIN
    UPDATE request_totals SET requests = requests - 1, bytes = bytes - OLD.bytes WHERE plugin = OLD.plugin;
END;

-- When a request with a key ends, however that happens, it is the turn of the next.
CREATE TRIGGER request_given_up AFTER UPDATE OF state ON durable_requests WHEN NEW.key IS NOT NULL AND NEW.state = 2 BEGIN
    UPDATE durable_requests SET state = 0 WHERE state = 3 AND id = (
        SELECT min(id) FROM durable_requests WHERE plugin = NEW.plugin AND key = NEW.key AND state <> 2);
END;
CREATE TRIGGER request_ended AFTER DELETE ON durable_requests WHEN OLD.key IS NOT NULL AND OLD.state <> 2 BEGIN
    UPDATE durable_requests SET state = 0 WHERE state = 3 AND id = (
        SELECT min(id) FROM durable_requests WHERE plugin = OLD.plugin AND key = OLD.key AND state <> 2);
END;
