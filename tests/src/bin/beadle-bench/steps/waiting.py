"""Fills the daemon's database with open windows or timers.

It writes into the tables of the store's schema directly: the daemon would take half an hour for as many messages.
Usage: waiting.py fill DATABASE windows|timers COUNT      none is due within two hours
       waiting.py soon DATABASE windows|timers COUNT IN_S EVERY_MS      the first COUNT become due, one after the other
"""

import sqlite3
import sys
import time

WA_ID = 2  # of beadle_model's AliasKind
IN_CONVERSATION = 2  # of its Scope
HOUR_MS = 3_600_000
FIRST_NUMBER = 31_600_000_000
# Ids below this are the daemon's own.
BASE = 1_000
# Conversations for the replies of due timers.
TALKS = 20_000


def fill(db, what, count):
    now = int(time.time() * 1000)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :talks) "
    (plugin,) = db.execute("SELECT no FROM plugins WHERE name = 'hourglass'").fetchone()
    talks = count if what == "windows" else min(TALKS, count)
    # They end between two hours and a day from now.
    names = dict(talks=talks, count=count, now=now, first=FIRST_NUMBER, plugin=plugin, step=20 * HOUR_MS / count,
                 end=now + 2 * HOUR_MS, day=24 * HOUR_MS)
    until = ":end + CAST(i * :step AS INTEGER)" if what == "windows" else ":now + :day"
    for statement in [
        f"INSERT INTO contacts (id, created_at, membership, member_since) SELECT {BASE} + i, :now, 1, :now FROM n",
        "INSERT INTO conversations (id, channel, contact, address_kind, address, last_inbound_at, window_until) "
        f"SELECT {BASE} + i, 'shop', {BASE} + i, {WA_ID}, :first + i, {until} - :day, {until} FROM n",
        f"INSERT INTO windows (conversation, due_at) SELECT id, window_until FROM conversations WHERE id > {BASE}",
    ]:
        db.execute((numbers if "FROM n" in statement else "") + statement, names)
    if what == "timers":
        db.execute(numbers.replace(":talks", ":count") +
                   "INSERT INTO timers (plugin, scope, scope_id, key, due_at, conversation, payload) "
                   f"SELECT :plugin, {IN_CONVERSATION}, {BASE} + 1 + i % :talks, 't-' || i, :end + CAST(i * :step AS INTEGER), "
                   f"{BASE} + 1 + i % :talks, x'776f7264' FROM n", names)


def soon(db, what, count, in_s, every_ms):
    begin = int(time.time() * 1000) + in_s * 1000
    names = dict(count=count, begin=begin, every=every_ms, base=BASE)
    if what == "windows":
        db.execute("UPDATE conversations SET window_until = :begin + (id - :base) * :every WHERE id BETWEEN :base AND :base + :count",
                   names)
        db.execute("UPDATE windows SET due_at = :begin + (conversation - :base) * :every "
                   "WHERE conversation BETWEEN :base AND :base + :count", names)
    else:
        db.execute("UPDATE timers SET due_at = :begin + id * :every WHERE id <= :count", names)


if __name__ == "__main__":
    do, database, what = sys.argv[1:4]
    connection = sqlite3.connect(database)
    # Durability does not matter here.
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -400000")
    {"fill": fill, "soon": soon}[do](connection, what, *map(int, sys.argv[4:]))
    connection.commit()
    connection.close()
