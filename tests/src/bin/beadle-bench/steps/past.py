"""Fills the daemon's database with contacts and answered messages.

It writes into the tables of the store's schema directly: ten million messages through the daemon would take a quarter of
an hour. Usage: past.py DATABASE CONTACTS EVENTS FIRST_PHONE
"""

import sqlite3
import sys
import time

MESSAGE, FINISHED, CLAIMED, ACCEPTED, READ = 1, 2, 1, 2, 4  # numbers of beadle_model and beadle_store enums
PHONE, WA_ID = 1, 2
DAY_MS = 86_400_000
# Older than any repeated webhook, so that all keys sort before the new ones.
SPAN_MS = 60 * DAY_MS


def main(path, contacts, events, first_phone):
    now = int(time.time() * 1000)
    begin = now - SPAN_MS - 10 * DAY_MS
    db = sqlite3.connect(path)
    # Durability does not matter here.
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -400000")
    (plugin,) = db.execute("SELECT coalesce(min(no), 1) FROM plugins WHERE name = 'echo'").fetchone()
    db.execute("INSERT INTO subscriber_lists (plugins) VALUES (?) ON CONFLICT DO NOTHING", (f"[{plugin}]",))
    (subscriber_list,) = db.execute("SELECT id FROM subscriber_lists WHERE plugins = ?", (f"[{plugin}]",)).fetchone()
    # Contacts and conversations have equal numbers here; the channel's own conversation is created again at the start.
    db.execute("DELETE FROM conversations")
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) "
    names = dict(count=contacts, phone=first_phone - 1, begin=begin, plugin=plugin, subscriber_list=subscriber_list)
    for statement in [
        "INSERT INTO contacts (id, name, created_at, membership, member_since) "
        "SELECT i, 'Member ' || (:phone + i), :begin, 1, :begin FROM n",
        f"INSERT INTO aliases (kind, value, contact, created_at) SELECT {PHONE}, :phone + i, i, :begin FROM n",
        f"INSERT INTO aliases (kind, value, contact, created_at) SELECT {WA_ID}, :phone + i, i, :begin FROM n",
        "INSERT INTO conversations (id, channel, contact, address_kind, address, last_inbound_at, window_until) "
        f"SELECT i, 'shop', i, {WA_ID}, :phone + i, :begin, :begin + {DAY_MS} FROM n",
    ]:
        db.execute(numbers + statement, names)
    if events:
        past_events(db, numbers, {**names, "count": events, "contacts": contacts, "step": max(1, SPAN_MS // events)})
    db.commit()
    db.close()


def past_events(db, numbers, names):
    for statement in [
        "INSERT INTO events (id, key_at, key_hash, kind, conversation, contact, happened_at, received_at, state, "
        f"subscriber_list, done, ending, ended_by) SELECT i, :begin + i * :step, randomblob(16), {MESSAGE}, 1 + i % :contacts, "
        f"1 + i % :contacts, :begin + i * :step, :begin + i * :step + 40, {FINISHED}, :subscriber_list, 1, {CLAIMED}, :plugin FROM n",
        "INSERT INTO event_bodies (id, body) SELECT i, '{\"event\":\"message\",\"message\":\"wamid.HBgL' || i || "
        "'\",\"content\":{\"kind\":\"text\",\"value\":\"a message of a usual length, number ' || i || '\"}}' FROM n",
        "INSERT INTO outbox (id, event, plugin, conversation, channel, reply, state, due_at, created_at, platform_id, platform_key, "
        f"receipt, sent_at, delivered_at, read_at) SELECT i, i, :plugin, 1 + i % :contacts, 'shop', 1, {ACCEPTED}, "
        "t, t, 'wamid.BENCHOLD' || i, random(), "
        f"{READ}, t + 90, t + 400, t + 9000 FROM (SELECT i, :begin + i * :step AS t FROM n)",
        "INSERT INTO outbox_bodies (id, body) SELECT i, '{\"kind\":\"text\",\"body\":\"an answer of a usual length, number ' "
        "|| i || '\"}' FROM n",
    ]:
        db.execute(numbers + statement, names)
    for key in ["next_event", "next_message", "finished_below", "sending_from"]:
        db.execute("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                   (key, names["count"] + 1))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
