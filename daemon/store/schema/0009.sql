-- Version 9: people whom only a web form has named.
--
-- They are quarantined, and erased if they do not answer. An erasure for this reason has `asked_by` 4. The ledger has each
-- request, so that a copy of a person's data needs nothing from here.

CREATE TABLE opt_in_contacts (
    contact  INTEGER PRIMARY KEY,
    -- When a form named them last.
    asked_at INTEGER NOT NULL
) STRICT;
CREATE INDEX opt_in_contacts_by_age ON opt_in_contacts (asked_at);
