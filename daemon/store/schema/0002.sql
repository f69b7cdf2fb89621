-- Version 2: what is known about people, and what they agreed to.

-- Role, tags, attributes and the view of the consent ledger, as JSON; NULL if all are defaults.
ALTER TABLE contacts ADD COLUMN profile TEXT;

-- People with a role are few, and plugins ask for them.
CREATE INDEX contacts_by_role ON contacts (json_extract(profile, '$.role'))
    WHERE json_extract(profile, '$.role') IS NOT NULL;

-- The consent ledger: rows are added and never changed. A row's hash covers its body, its salt and the
-- hash of the row before it; `consent_head` in `meta` has the last number and hash. An erasure replaces
-- body and salt by the digest of both, so that the chain still holds.
CREATE TABLE consents (
    id      INTEGER PRIMARY KEY,
    -- As recorded, as JSON. It names the contact of that time.
    body    TEXT,
    salt    BLOB,
    digest  BLOB,
    hash    BLOB NOT NULL,
    -- The contact in the body, for look-ups; NULL after an erasure.
    contact INTEGER
) STRICT;
CREATE INDEX consents_by_contact ON consents (contact) WHERE contact IS NOT NULL;

-- The texts that people agreed to, by hash: a row of the ledger names the hash.
CREATE TABLE consent_texts (
    sha256 TEXT PRIMARY KEY,
    text   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What people asked the operator for by a reserved word.
CREATE TABLE contact_requests (
    id           INTEGER PRIMARY KEY,
    contact      INTEGER NOT NULL,
    conversation INTEGER,
    -- 1 a person to talk to, 2 a copy of their data, 3 the erasure of their data.
    kind         INTEGER NOT NULL,
    asked_at     INTEGER NOT NULL,
    -- When the person confirmed it; requests for a person to talk to need no confirmation.
    confirmed_at INTEGER,
    closed_at    INTEGER,
    -- done, declined, expired.
    closed_as    TEXT
) STRICT;
CREATE INDEX contact_requests_open ON contact_requests (contact, kind) WHERE closed_at IS NULL;
