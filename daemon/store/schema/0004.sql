-- Version 4: what messages cost.

-- What the platform charged, by what determines the price. A message counts once: when it was delivered and the platform
-- has said its price; in a group, once for each member. The amounts are not here, because only the platform's invoice has
-- them: an estimate is made from a file of rates when someone asks.
CREATE TABLE charges (
    -- Days since 1970, UTC: when it was sent.
    day      INTEGER NOT NULL,
    channel  TEXT NOT NULL,
    plugin   INTEGER NOT NULL,
    -- ISO 3166, from the number's prefix or the user id; '' if it is not known.
    country  TEXT NOT NULL,
    -- As the platform reported them; '' if it did not.
    category TEXT NOT NULL,
    type     TEXT NOT NULL,
    model    TEXT NOT NULL,
    subtype  TEXT NOT NULL,
    -- 0 no, 1 yes, -1 not reported.
    billable INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (day, channel, plugin, country, category, type, model, subtype, billable)
) STRICT, WITHOUT ROWID;

-- Messages that the business sends first and that have no price yet: queued, or sent and not delivered.
CREATE TABLE pending_charges (
    message  INTEGER PRIMARY KEY,
    -- When it was sent, else when it is due.
    day      INTEGER NOT NULL,
    is_sent  INTEGER NOT NULL,
    channel  TEXT NOT NULL,
    plugin   INTEGER NOT NULL,
    country  TEXT NOT NULL,
    category TEXT NOT NULL
) STRICT;

-- Their number, kept by the triggers below: budgets ask for it with every message.
CREATE TABLE pending_charge_totals (
    day      INTEGER NOT NULL,
    is_sent  INTEGER NOT NULL,
    channel  TEXT NOT NULL,
    plugin   INTEGER NOT NULL,
    country  TEXT NOT NULL,
    category TEXT NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (day, is_sent, channel, plugin, country, category)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER pending_charge_inserted AFTER INSERT ON pending_charges BEGIN
    INSERT INTO pending_charge_totals (day, is_sent, channel, plugin, country, category, messages)
    VALUES (NEW.day, NEW.is_sent, NEW.channel, NEW.plugin, NEW.country, NEW.category, 1)
    ON CONFLICT DO UPDATE SET messages = messages + 1;
END;
CREATE TRIGGER pending_charge_moved AFTER UPDATE OF day, is_sent ON pending_charges BEGIN
    UPDATE pending_charge_totals SET messages = messages - 1
    WHERE day = OLD.day AND is_sent = OLD.is_sent AND channel = OLD.channel AND plugin = OLD.plugin
        AND country = OLD.country AND category = OLD.category;
    DELETE FROM pending_charge_totals
    WHERE day = OLD.day AND is_sent = OLD.is_sent AND channel = OLD.channel AND plugin = OLD.plugin
        AND country = OLD.country AND category = OLD.category AND messages = 0;
    INSERT INTO pending_charge_totals (day, is_sent, channel, plugin, country, category, messages)
    VALUES (NEW.day, NEW.is_sent, NEW.channel, NEW.plugin, NEW.country, NEW.category, 1)
    ON CONFLICT DO UPDATE SET messages = messages + 1;
END;
CREATE TRIGGER pending_charge_deleted AFTER DELETE ON pending_charges BEGIN
    UPDATE pending_charge_totals SET messages = messages - 1
    WHERE day = OLD.day AND is_sent = OLD.is_sent AND channel = OLD.channel AND plugin = OLD.plugin
        AND country = OLD.country AND category = OLD.category;
    DELETE FROM pending_charge_totals
    WHERE day = OLD.day AND is_sent = OLD.is_sent AND channel = OLD.channel AND plugin = OLD.plugin
        AND country = OLD.country AND category = OLD.category AND messages = 0;
END;
