-- Version 8: what stops or counts broadcasts.

-- The quality of a channel's number, as fetched last: green, yellow or red.
CREATE TABLE channel_quality (
    channel TEXT PRIMARY KEY,
    quality TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- 1 for a message of a broadcast that is no template: it counts for the marketing caps, and needs an open window.
ALTER TABLE outreach ADD COLUMN free_form INTEGER NOT NULL DEFAULT 0;
