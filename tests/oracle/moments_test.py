"""Five-field patterns of daemon/schedule against cronsim, with Python's time zones and the same tzdata release.

Patterns and times are random (the seed is printed; BEADLE_E2E_SEED repeats it), zones are those with unusual clock changes,
years are 2024 to 2030, and every clock change in them is checked.

Two references (ADR 0055):

* cronsim, except within a day of a clock change for patterns that follow elapsed time. There cronsim steps by whole hours,
  which is wrong for changes of half an hour (Lord Howe), and begins days at midnights that do not exist (Havana, Santiago,
  Cairo). Patterns with a step but no star in minute or hour ("0-30/10 2 * * *") are left out near changes too: cronsim,
  like Debian's cron, treats them as fixed, Beadle does not.
* Around every clock change, the definition of docs/design.md#time: for each minute, the local time by zoneinfo, and whether
  cronsim's fields match it. This covers all patterns.
"""

import os
import random
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from zoneinfo import ZoneInfo, reset_tzpath

from cronsim import CronSim, CronSimError

# Only PyPI's tzdata, not the system's.
reset_tzpath(to=())

ZONES = [
    "Europe/Amsterdam",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Santiago",
    "Africa/Casablanca",
    "America/Havana",
    "Pacific/Kiritimati",
    # A gap of two hours, a half-hour offset, and UTC.
    "Antarctica/Troll",
    "Asia/Kolkata",
    "UTC",
]
FIRST, LAST = datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2031, 1, 1, tzinfo=timezone.utc)
DAY = 86_400
# The moments of patterns that never match, such as 30 February.
NEVER = []
# Patterns around each clock change, and further patterns for each zone.
AT_EACH_CHANGE, ELSEWHERE = 20, 100


class Beadle:
    """The planned moments by the daemon's code."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.tzdata = self.process.stdout.readline().strip()

    def moments(self, zone, pattern, after, until):
        self.process.stdin.write(f"{zone}\t{pattern}\t{after}\t{until}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        # A pattern that no day matches is refused: the reference must find no moment either.
        return [] if answer == "unreadable" else [int(moment) for moment in answer.split()]


def field(dice, low, high, names=()):
    """One field: stars, numbers, ranges, steps, lists, names."""

    def number():
        value = dice.randint(low, high)
        return dice.choice(names)[value - low] if names and dice.random() < 0.3 and value - low < len(names[0]) else str(value)

    def ranged():
        start, end = sorted(dice.sample(range(low, high + 1), 2))
        return f"{start}-{end}"

    def item():
        kind = dice.random()
        if kind < 0.55:
            return number()
        if kind < 0.75:
            return ranged()
        if kind < 0.9:
            return f"*/{dice.randint(2, max(2, (high - low) // 2))}"
        return f"{ranged()}/{dice.randint(2, 7)}"

    if dice.random() < 0.35:
        return "*"
    return ",".join(item() for _ in range(dice.choice([1, 1, 1, 2, 3])))


MONTHS = ["JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()]
WEEKDAYS = ["SUN MON TUE WED THU FRI SAT".split()]


def pattern(dice, hours=None):
    """A random pattern; `hours` are preferred."""
    hour = field(dice, 0, 23)
    if hours and dice.random() < 0.8:
        hour = ",".join(str(hour) for hour in dice.sample(hours, dice.randint(1, 2)))
        if dice.random() < 0.2:
            hour = f"*/{dice.randint(2, 6)}"
    day, weekday = field(dice, 1, 31), field(dice, 0, 7, WEEKDAYS)
    if hours and dice.random() < 0.7:
        day = weekday = "*"
    elif dice.random() < 0.15:
        day = dice.choice(["L", "LW", "1,L"])
    elif dice.random() < 0.15:
        weekday = dice.choice(["5L", "0L", "7L", "MON#1", "2#5"])
    return f"{field(dice, 0, 59)} {hour} {day} {field(dice, 1, 12, MONTHS) if dice.random() < 0.3 else '*'} {weekday}"


def changes(zone):
    """Every clock change of these years, to the second."""
    found, at, step = [], FIRST, timedelta(hours=12)
    while at < LAST:
        if at.astimezone(zone).utcoffset() != (at + step).astimezone(zone).utcoffset():
            low, high = at, at + step
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                same = middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(int(high.timestamp()))
        at += step
    return found


def is_stepped_without_star(text):
    return any("/" in item and not item.startswith("*") for item in ",".join(text.split()[:2]).split(","))


def is_fixed(text):
    return not any(mark in part for part in text.split()[:2] for mark in "*/")


def by_definition(zone, text, walls, change):
    """The definition, minute by minute. `walls`: (Unix time, local time) for each minute around a change."""
    try:
        sim = CronSim(text, walls[0][1].replace(tzinfo=None))
    except CronSimError:
        return NEVER

    def matches(wall):
        fits = wall.minute in sim.minutes and wall.hour in sim.hours and wall.month in sim.months
        return fits and sim.match_day(wall.date())

    if not is_fixed(text):
        return [at for at, wall in walls if matches(wall)]
    moments = set()
    wall, end = walls[0][1].replace(tzinfo=None), walls[-1][1].replace(tzinfo=None)
    while wall <= end:
        if matches(wall):
            placed = wall.replace(tzinfo=zone).astimezone(timezone.utc)
            exists = placed.astimezone(zone).replace(tzinfo=None) == wall
            moments.add(int(placed.timestamp()) if exists else change)
        wall += timedelta(minutes=1)
    return sorted(moments)


def by_cronsim(zone, text, after, until):
    moments = []
    try:
        sim = CronSim(text, datetime.fromtimestamp(after, zone))
    except CronSimError:
        return NEVER
    for moment in sim:
        at = int(moment.timestamp())
        if at > until:
            break
        moments.append(at)
    return moments


def around(beadle, dice, name, zone, change):
    """Compares with the definition in two days around a change."""
    after, until = change - DAY - 1, change + DAY
    walls = [(at, datetime.fromtimestamp(at, zone)) for at in range(change - DAY, change + DAY + 1, 60)]
    shown = datetime.fromtimestamp(change, zone).hour
    hours = [(shown + ahead) % 24 for ahead in (-3, -2, -1, 0, 1, 2)]
    for _ in range(AT_EACH_CHANGE):
        text = pattern(dice, hours)
        assert_equal(name, text, beadle.moments(name, text, after, until), by_definition(zone, text, walls, change), "the definition")


def elsewhere(beadle, dice, name, zone, near):
    """Compares with cronsim over weeks and over all years."""
    for number in range(ELSEWHERE):
        text = pattern(dice)
        start = int(FIRST.timestamp()) + dice.randrange(int((LAST - FIRST).total_seconds()) - 40 * DAY)
        until = start + dice.randint(1, 20) * DAY
        if number % 4 == 0:
            # A sparse pattern over all years.
            text = f"{dice.randint(0, 59)} {dice.randint(0, 23)} {' '.join(text.split()[2:])}"
            start, until = int(FIRST.timestamp()), int(LAST.timestamp()) - 1
        ours, theirs = beadle.moments(name, text, start, until), by_cronsim(zone, text, start, until)
        if not is_fixed(text):
            far = lambda at: not any(abs(at - change) <= DAY for change in near)  # noqa: E731
            ours, theirs = list(filter(far, ours)), list(filter(far, theirs))
        assert_equal(name, text, ours, theirs, "cronsim")


def assert_equal(zone, text, ours, theirs, reference):
    if ours == theirs:
        return
    wrong = min(set(ours) ^ set(theirs), default=None)
    shown = wrong and datetime.fromtimestamp(wrong, ZoneInfo(zone)).isoformat()
    who = "Beadle" if wrong in ours else reference
    sys.exit(f"{text!r} in {zone}: at {shown} ({wrong}) only {who} fires")


def main():
    beadle = Beadle(os.environ["BEADLE_MOMENTS"])
    year, release = version("tzdata").split(".")
    ours = f"{year}{chr(ord('a') + int(release) - 1)}"
    assert beadle.tzdata == ours, f"the daemon has tzdata {beadle.tzdata}, Python has {ours}"
    seed = int(os.environ.get("BEADLE_E2E_SEED") or random.randrange(1 << 32))
    print(f"seed {seed} (repeat it with --seed)", flush=True)
    dice, asked = random.Random(seed), 0
    for name in ZONES:
        zone = ZoneInfo(name)
        near = changes(zone)
        for change in near:
            around(beadle, dice, name, zone, change)
        elsewhere(beadle, dice, name, zone, near)
        asked += len(near) * AT_EACH_CHANGE + ELSEWHERE
        print(f"{name}: {len(near)} clock changes", flush=True)
    print(f"{asked} patterns, tzdata {beadle.tzdata}: equal")


if __name__ == "__main__":
    main()
