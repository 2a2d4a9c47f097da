"""Breakages of routing: devices, classes of messages, what an hour and a channel may carry."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_DEVICES = ("delivery/test_devices.py",)
_COUNTS = ("delivery/test_device_counts.py",)
_WORDS = ("users/test_superseded.py",)

ROUTING = (
    Mutant(
        "a device that is gone sends its message elsewhere",
        "        if campaign in to_all and row not in is_out",
        "        if campaign not in to_all and row not in is_out",
        _DEVICES,
    ),
    Mutant(
        "a message falls over once for each device",
        "if channel is None or (campaign in snapshot.to_all and message in seen):",
        "if channel is None:",
        _DEVICES,
    ),
    Mutant(
        "a device's day has a message more at its end",
        'pc.greater(table["sent_ts"].cast(pa.int64()), now - DAY_US)',
        'pc.greater_equal(table["sent_ts"].cast(pa.int64()), now - DAY_US)',
        _COUNTS,
    ),
    Mutant(
        "messages of every class count as marketing",
        'key = row["user_id"], classes.get(row["campaign_id"], MARKETING)',
        'key = row["user_id"], MARKETING',
        _COUNTS,
    ),
    Mutant(
        "providers are told that all is marketing",
        'self._work.classes.get(column["campaign_id"][i], words.MARKETING),',
        "words.MARKETING,",
        _COUNTS,
    ),
    Mutant(
        "the plan fills a device beyond its day",
        "free[:, c] = room[users] >= 1",
        "free[:, c] = room[users] >= 0",
        ("planning/before/test_devices.py",),
    ),
    Mutant(
        "the intake fills a device beyond its day",
        "return most is None or self._had[user, channel, kind] < most",
        "return most is None or self._had[user, channel, kind] <= most",
        ("intake/test_device_day.py",),
    ),
    Mutant(
        "a drawn channel costs more than the message is worth",
        "(cost == 0) | (made >= cost)",
        "(cost == 0) | (made >= 0)",
        ("planning/routes/test_responses.py",),
    ),
    Mutant(
        "an hour holds a message for each request",
        "int(channel.takes_per_hour / by_channel.get(channel.id, 1.0))",
        "channel.takes_per_hour",
        ("planning/routes/test_requests.py",),
    ),
    Mutant(
        "a last word goes once it is old",
        "row + 1 == len(words) or words[row + 1] != word or instants",
        "row + 1 == len(words) or instants",
        _WORDS,
    ),
    Mutant(
        "a lost word is taken for an expired one",
        "every = set(self._lake.numbers(MAIN, name, leaf, expired=True))",
        "every = set(range(1, 99))",
        _WORDS,
    ),
)
