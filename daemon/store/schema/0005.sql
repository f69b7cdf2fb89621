-- Version 5: lists of people that an operator keeps.

CREATE TABLE lists (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT,
    created_at  INTEGER NOT NULL,
    -- The number of members, kept by the triggers below: a listing shows it for every list.
    members     INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE list_members (
    list     INTEGER NOT NULL,
    contact  INTEGER NOT NULL,
    added_at INTEGER NOT NULL,
    PRIMARY KEY (list, contact)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER list_member_inserted AFTER INSERT ON list_members BEGIN
    UPDATE lists SET members = members + 1 WHERE id = NEW.list;
END;
CREATE TRIGGER list_member_deleted AFTER DELETE ON list_members BEGIN
    UPDATE lists SET members = members - 1 WHERE id = OLD.list;
END;
