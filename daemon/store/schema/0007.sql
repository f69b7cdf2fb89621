-- Version 7: broadcasts.

CREATE TABLE broadcasts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The author: a plugin, or the number under which operators' broadcasts are sent.
    plugin      INTEGER NOT NULL,
    name        TEXT NOT NULL,
    channel     TEXT NOT NULL,
    -- As it was given, as JSON.
    definition  TEXT NOT NULL,
    -- 0 draft, 1 planned, 2 sending, 3 paused, 4 finished, 5 stopped.
    state       INTEGER NOT NULL,
    -- Why it is paused or stopped, or cannot be planned: a code and a sentence, as JSON.
    reason      TEXT,
    -- What planning froze and counted, as JSON.
    plan        TEXT,
    created_at  INTEGER NOT NULL,
    created_by  TEXT NOT NULL,
    planned_at  INTEGER,
    approved_at INTEGER,
    approved_by TEXT,
    started_at  INTEGER,
    ended_at    INTEGER,
    -- 1 if it is to be planned and started by itself.
    wants_start INTEGER NOT NULL DEFAULT 0,
    -- The counts at the last start or resume, from which on rules judge it, as JSON.
    baseline    TEXT,
    -- Recipients who wrote within 72 hours, and who withdrew their consent.
    replied     INTEGER NOT NULL DEFAULT 0,
    opted_out   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX broadcasts_by_name ON broadcasts (plugin, name);
CREATE INDEX broadcasts_active ON broadcasts (state) WHERE state = 2 OR wants_start = 1;

-- One row for each person and broadcast, so that nobody gets it twice.
CREATE TABLE broadcast_recipients (
    broadcast    INTEGER NOT NULL,
    contact      INTEGER NOT NULL,
    conversation INTEGER,
    -- 0 planned, 1 queued, 2 sent, 3 delivered, 4 read, 5 failed, 6 refused, 7 held.
    state        INTEGER NOT NULL,
    -- Why it failed, was refused or is held.
    code         TEXT,
    -- The language of the template.
    language     TEXT,
    -- The values of the placeholders, as a JSON array; NULL if there are none.
    parameters   TEXT,
    -- While held: until when.
    due_at       INTEGER,
    -- The last message. It is replaced only if that one never left.
    message      INTEGER,
    sent_at      INTEGER,
    replied_at   INTEGER,
    opted_out_at INTEGER,
    PRIMARY KEY (broadcast, contact)
) STRICT, WITHOUT ROWID;
CREATE INDEX broadcast_recipients_planned ON broadcast_recipients (broadcast, contact) WHERE state = 0;
CREATE INDEX broadcast_recipients_held ON broadcast_recipients (broadcast, due_at) WHERE state = 7;
CREATE INDEX broadcast_recipients_queued ON broadcast_recipients (broadcast, message) WHERE state = 1;
CREATE UNIQUE INDEX broadcast_recipients_by_message ON broadcast_recipients (message) WHERE message IS NOT NULL;
-- For replies and withdrawals.
CREATE INDEX broadcast_recipients_by_contact ON broadcast_recipients (contact, sent_at) WHERE sent_at IS NOT NULL;

-- Their number by state and code, kept by the triggers below: progress is shown while it is sent.
CREATE TABLE broadcast_counts (
    broadcast  INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    code       TEXT NOT NULL,
    recipients INTEGER NOT NULL,
    PRIMARY KEY (broadcast, state, code)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER broadcast_recipient_inserted AFTER INSERT ON broadcast_recipients BEGIN
    INSERT INTO broadcast_counts (broadcast, state, code, recipients)
    VALUES (NEW.broadcast, NEW.state, coalesce(NEW.code, ''), 1)
    ON CONFLICT DO UPDATE SET recipients = recipients + 1;
END;
CREATE TRIGGER broadcast_recipient_moved AFTER UPDATE OF state, code ON broadcast_recipients
WHEN (NEW.state, NEW.code) IS NOT (OLD.state, OLD.code) BEGIN
    UPDATE broadcast_counts SET recipients = recipients - 1
    WHERE broadcast = OLD.broadcast AND state = OLD.state AND code = coalesce(OLD.code, '');
    INSERT INTO broadcast_counts (broadcast, state, code, recipients)
    VALUES (NEW.broadcast, NEW.state, coalesce(NEW.code, ''), 1)
    ON CONFLICT DO UPDATE SET recipients = recipients + 1;
END;
CREATE TRIGGER broadcast_recipient_deleted AFTER DELETE ON broadcast_recipients BEGIN
    UPDATE broadcast_counts SET recipients = recipients - 1
    WHERE broadcast = OLD.broadcast AND state = OLD.state AND code = coalesce(OLD.code, '');
END;

-- The broadcast of a message. A recipient follows the message, whatever changes it: the answer to the request, a receipt,
-- a withdrawal, an operator.
ALTER TABLE outbox ADD COLUMN broadcast INTEGER;
CREATE TRIGGER broadcast_message_moved AFTER UPDATE OF state, receipt ON outbox
WHEN NEW.broadcast IS NOT NULL AND (NEW.state, NEW.receipt) IS NOT (OLD.state, OLD.receipt) BEGIN
    UPDATE broadcast_recipients SET
        sent_at = coalesce(sent_at, CASE WHEN NEW.state = 1 THEN NEW.due_at END),
        code = CASE
            WHEN NEW.state = 3 AND json_extract(NEW.problem, '$.code') IN ('window-closed', 'over-budget',
                'template-unknown', 'template-not-approved', 'template-paused', 'template-disabled') THEN NULL
            WHEN NEW.state IN (3, 4) THEN json_extract(NEW.problem, '$.code')
            WHEN NEW.state = 5 THEN coalesce(code, 'broadcast-dropped')
        END,
        state = CASE
            WHEN NEW.state IN (0, 1) THEN 1
            WHEN NEW.state = 2 THEN CASE WHEN NEW.receipt >= 4 THEN 4 WHEN NEW.receipt = 3 THEN 3 ELSE 2 END
            -- The gate stopped it as it was about to leave, for a reason that is not the recipient's: their turn comes again,
            -- with the template where the window has closed, or when the broadcast is resumed.
            WHEN NEW.state = 3 AND json_extract(NEW.problem, '$.code') IN ('window-closed', 'over-budget',
                'template-unknown', 'template-not-approved', 'template-paused', 'template-disabled') THEN 0
            WHEN NEW.state = 3 AND json_extract(NEW.problem, '$.code') IN ('no-recipient', 'erased', 'banned',
                'quarantined', 'left', 'not-opted-in', 'opted-out', 'marketing-opted-out', 'marketing-limited',
                'in-human-hands', 'template-parameters', 'template-advertising', 'frequency-cap') THEN 6
            WHEN NEW.state IN (3, 4) THEN 5
            ELSE 6
        END
    WHERE message = NEW.id;
END;
