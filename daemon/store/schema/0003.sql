-- Version 3: templates, and what the gate decided.

-- The business account of each configured channel, where it is configured.
CREATE TABLE channel_accounts (
    channel TEXT PRIMARY KEY,
    account TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What is known about a business account as a whole.
CREATE TABLE accounts (
    account              TEXT PRIMARY KEY,
    -- When its templates were last fetched. NULL: never, so that it is not known which there are.
    templates_fetched_at INTEGER,
    -- Why the last attempt to fetch them failed, and when. NULL: it did not.
    templates_error      TEXT,
    templates_failed_at  INTEGER,
    -- People whom the business may write to first in 24 hours; 0: any number. NULL: not known.
    messaging_limit      INTEGER
) STRICT, WITHOUT ROWID;

-- Templates, one row for each language.
CREATE TABLE templates (
    account     TEXT NOT NULL,
    name        TEXT NOT NULL,
    language    TEXT NOT NULL,
    platform_id TEXT NOT NULL,
    category    TEXT NOT NULL,
    status      TEXT NOT NULL,
    quality     TEXT,
    reason      TEXT,
    is_named    INTEGER NOT NULL,
    -- The platform's array, as JSON.
    components  TEXT NOT NULL,
    changed_at  INTEGER NOT NULL,
    PRIMARY KEY (account, name, language)
) STRICT, WITHOUT ROWID;

-- Messages that the business sent first: templates and Direct Send.
CREATE TABLE outreach (
    message    INTEGER PRIMARY KEY,
    contact    INTEGER NOT NULL,
    channel    TEXT NOT NULL,
    -- When it was queued, then when it was sent.
    at         INTEGER NOT NULL,
    -- 1 if it is marketing or may be.
    marketing  INTEGER NOT NULL,
    topic      TEXT,
    -- 1 if no window was open.
    outside    INTEGER NOT NULL
) STRICT;
CREATE INDEX outreach_by_contact ON outreach (contact, at) WHERE marketing = 1;
CREATE INDEX outreach_by_time ON outreach (at);

-- People to whom the platform refuses marketing for a while (code 131049), and how often in a row it did.
CREATE TABLE marketing_refusals (
    contact INTEGER PRIMARY KEY,
    code    TEXT NOT NULL,
    times   INTEGER NOT NULL,
    until   INTEGER NOT NULL
) STRICT;

-- What the gate decided about a message and why, when its plugin asked or when it was last about to leave, as JSON.
ALTER TABLE outbox_bodies ADD COLUMN gate TEXT;
