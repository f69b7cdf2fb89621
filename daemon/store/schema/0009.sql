-- Version 9: people whom only a web form has named, and what was stored while the clock was ahead.
--
-- Those people are quarantined, and erased if they do not answer. An erasure for this reason has `asked_by` 4. The
-- ledger has each request, so that a copy of a person's data needs nothing from here.

CREATE TABLE opt_in_contacts (
    contact  INTEGER PRIMARY KEY,
    -- When a form named them last.
    asked_at INTEGER NOT NULL
) STRICT;
CREATE INDEX opt_in_contacts_by_age ON opt_in_contacts (asked_at);

-- When the timer was set or moved; 0 if a version before 9 did it.
ALTER TABLE timers ADD COLUMN set_at INTEGER NOT NULL DEFAULT 0;

-- The latest `set_at` of its timers, kept by the triggers of `timers`: whether one of them was set by a clock that was
-- ahead is known without reading them.
ALTER TABLE plugins ADD COLUMN timers_set_at INTEGER NOT NULL DEFAULT 0;

DROP TRIGGER timer_inserted;
CREATE TRIGGER timer_inserted AFTER INSERT ON timers BEGIN
    UPDATE plugins SET timer_bytes = timer_bytes + octet_length(NEW.key) + length(NEW.payload) + 64,
        timers_set_at = max(timers_set_at, NEW.set_at)
    WHERE no = NEW.plugin;
END;
CREATE TRIGGER timer_set_again AFTER UPDATE OF set_at ON timers WHEN NEW.set_at > OLD.set_at BEGIN
    UPDATE plugins SET timers_set_at = NEW.set_at WHERE no = NEW.plugin AND timers_set_at < NEW.set_at;
END;

-- The oldest files, whatever their numbers: the clock may have been set back.
CREATE INDEX media_by_age ON media (created_at);
