-- Version 6: erasures of people.
--
-- An erased contact keeps its row, so that its id is not given to someone else: `merged_into` is 0, which is no
-- contact, and everything else is empty. The same for its conversations.

CREATE TABLE erasures (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Random; identifies the erasure in the file next to the database (src/erasure/file.rs).
    uid          TEXT NOT NULL UNIQUE,
    contact      INTEGER NOT NULL,
    -- 1 the operator, 2 the person, 3 repeated after a backup was restored.
    asked_by     INTEGER NOT NULL,
    begun_at     INTEGER NOT NULL,
    -- 0 begun, 1 plugins erase, 2 rows are erased, 3 the files are cleaned, 4 done.
    phase        INTEGER NOT NULL,
    -- The event by which plugins are told.
    event        INTEGER,
    -- The table that is searched, and the last row that was.
    table_no     INTEGER NOT NULL DEFAULT 0,
    cursor       INTEGER NOT NULL DEFAULT 0,
    -- What identifies the person's rows, as JSON, until they are erased.
    subject      TEXT,
    -- What was erased, as JSON, without personal data.
    report       TEXT NOT NULL,
    completed_at INTEGER
) STRICT;
CREATE INDEX erasures_open ON erasures (id) WHERE completed_at IS NULL;

-- Numbers and ids of erased people, as HMACs under the host's key: what they refused holds if they are imported again.
CREATE TABLE erased_identities (
    hash      BLOB PRIMARY KEY,
    erased_at INTEGER NOT NULL,
    -- Bit 0: marketing, bit 1: all messages (STOP), bit 2: they were banned.
    refused   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX erased_identities_by_age ON erased_identities (erased_at);
