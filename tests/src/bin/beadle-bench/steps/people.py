"""Fills the daemon's database with people: a conversation, a number, tags, attributes and a consent each.

It writes into the tables of the store's schema directly: an import of a million people takes minutes.
Usage: people.py DATABASE COUNT
"""

import json
import sqlite3
import sys
import time

PHONE, WA_ID = 1, 2  # of beadle_model's AliasKind
DAY_MS = 86_400_000
FIRST_NUMBER = 31_600_000_000
# Ids below this are the daemon's own.
BASE = 1_000


def profile(number, now):
    mark = {"at": now - number % 90 * DAY_MS, "entry": number}
    return json.dumps({
        "tags": ["vip", "berlin"] if number % 10 == 0 else [f"city-{number % 50}"],
        "attributes": {"points": number % 100},
        "consents": {"purposes": [["marketing:news", {"granted": mark}]] if number % 3 == 0 else [], "platform": {}},
    })


def fill(db, count):
    now = int(time.time() * 1000)
    numbers = range(1, count + 1)
    db.executemany(
        "INSERT INTO contacts (id, name, language, created_at, membership, member_since, timezone, profile) "
        "VALUES (?, ?, 'nl', ?, 1, ?, 'Europe/Amsterdam', ?)",
        ((BASE + n, f"Person {n}", now - n % 400 * DAY_MS, now - n % 400 * DAY_MS, profile(n, now)) for n in numbers))
    db.executemany(
        "INSERT INTO aliases (kind, value, contact, created_at) VALUES (?, ?, ?, ?)",
        ((kind, str(FIRST_NUMBER + n), BASE + n, now) for n in numbers for kind in (PHONE, WA_ID)))
    db.executemany(
        "INSERT INTO conversations (id, channel, contact, address_kind, address, last_inbound_at, window_until) "
        f"VALUES (?, 'shop', ?, {WA_ID}, ?, ?, ?)",
        ((BASE + n, BASE + n, str(FIRST_NUMBER + n), now - n % 60 * DAY_MS, now - n % 60 * DAY_MS + DAY_MS)
         for n in numbers))


if __name__ == "__main__":
    connection = sqlite3.connect(sys.argv[1])
    # Durability does not matter here.
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -400000")
    fill(connection, int(sys.argv[2]))
    connection.commit()
    connection.close()
