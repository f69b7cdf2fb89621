-- Version 10: what the sender of a message states about it, whether the platform holds it, which broadcast a charge belongs
-- to, and what the gate refused.

-- The purpose that its sender stated (`marketing:offers`); NULL if none. It decides which consent the message needs, also
-- when it is about to leave.
ALTER TABLE outbox ADD COLUMN purpose TEXT;

-- Of the messages of a plugin with the same key, one is sent. `repeats`: the one that had the key when this one was
-- inserted.
ALTER TABLE outbox ADD COLUMN key TEXT;
ALTER TABLE outbox ADD COLUMN repeats INTEGER;
CREATE INDEX outbox_by_key ON outbox (plugin, key) WHERE key IS NOT NULL;

-- When the platform accepted it and held it for a quality assessment.
ALTER TABLE outbox ADD COLUMN held_at INTEGER;

-- The same trigger as in version 7, which now shows recipients whose message is held.
DROP TRIGGER broadcast_message_moved;
CREATE TRIGGER broadcast_message_moved AFTER UPDATE OF state, receipt ON outbox
WHEN NEW.broadcast IS NOT NULL AND (NEW.state, NEW.receipt) IS NOT (OLD.state, OLD.receipt) BEGIN
    UPDATE broadcast_recipients SET
        sent_at = coalesce(sent_at, CASE WHEN NEW.state = 1 THEN NEW.due_at END),
        code = CASE
            WHEN NEW.state = 2 AND NEW.receipt IS NULL AND NEW.held_at IS NOT NULL THEN 'held-for-quality'
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
                'quarantined', 'left', 'not-opted-in', 'opted-out', 'unreachable', 'marketing-opted-out',
                'marketing-limited', 'marketing-country', 'in-human-hands', 'template-parameters',
                'template-advertising', 'frequency-cap') THEN 6
            WHEN NEW.state IN (3, 4) THEN 5
            ELSE 6
        END
    WHERE message = NEW.id;
END;

-- As in version 4, with the broadcast.
ALTER TABLE charges RENAME TO charges_without_broadcast;
CREATE TABLE charges (
    -- Days since 1970, UTC: when it was sent.
    day       INTEGER NOT NULL,
    channel   TEXT NOT NULL,
    plugin    INTEGER NOT NULL,
    -- 0 for a message of none, and for what was charged before this version.
    broadcast INTEGER NOT NULL,
    -- ISO 3166, from the number's prefix or the user id; '' if it is not known.
    country   TEXT NOT NULL,
    -- As the platform reported them; '' if it did not.
    category  TEXT NOT NULL,
    type      TEXT NOT NULL,
    model     TEXT NOT NULL,
    subtype   TEXT NOT NULL,
    -- 0 no, 1 yes, -1 not reported.
    billable  INTEGER NOT NULL,
    messages  INTEGER NOT NULL,
    PRIMARY KEY (day, channel, plugin, broadcast, country, category, type, model, subtype, billable)
) STRICT, WITHOUT ROWID;
INSERT INTO charges (day, channel, plugin, broadcast, country, category, type, model, subtype, billable, messages)
SELECT day, channel, plugin, 0, country, category, type, model, subtype, billable, messages
FROM charges_without_broadcast;
DROP TABLE charges_without_broadcast;

-- Messages that a plugin asked for and the gate refused, at most 20 for each handling.
CREATE TABLE refused_asks (
    event        INTEGER NOT NULL,
    plugin       INTEGER NOT NULL,
    -- Their order within the handling.
    ordinal      INTEGER NOT NULL,
    conversation INTEGER NOT NULL,
    -- The recipient; NULL in a group.
    contact      INTEGER,
    at           INTEGER NOT NULL,
    -- What kind of message it was, without its content: `text`, `template NAME`.
    kind         TEXT NOT NULL,
    purpose      TEXT,
    code         TEXT NOT NULL,
    -- What the gate decided, as in `outbox_bodies`.
    gate         TEXT,
    -- Those that were refused after this one in the same handling and are only counted.
    further      INTEGER NOT NULL,
    PRIMARY KEY (event, plugin, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX refused_asks_by_contact ON refused_asks (contact, at);

-- Contacts to whom the platform could not deliver a message (131026), with the time of the last failure. A row that is
-- older than the contact's last message does not count.
CREATE TABLE unreachable (
    contact INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    code    TEXT NOT NULL
) STRICT;
