"""Ids and draws are the same everywhere: committed values, no collisions, even draws."""

from __future__ import annotations

import numpy as np

from angelia.contracts import ids

PEOPLE = [f"u{i}" for i in range(20_000)]


def test_ids_are_those_that_were_always_given() -> None:
    message = ids.message_id("sale", "u1", "2026-11-14")
    assert message == "ffa2c91235cc68e789828a457794f984"
    assert ids.dispatch_id(message, "fcm", "token") == "7862368465a3c178f7a7092332075211"
    assert ids.hash64("salt") == 2_681_811_036_199_861_038


def test_parts_do_not_run_into_each_other() -> None:
    assert ids.message_id("ab", "c", "d") != ids.message_id("a", "bc", "d")
    assert ids.message_id("a", "b", "c") != ids.dispatch_id("a", "b", "c")
    keys = ids.user_keys(["u1"])
    assert ids.mix(keys, "ab", "c") != ids.mix(keys, "a", "bc")


def test_a_persons_key_does_not_depend_on_who_else_is_there() -> None:
    keys = ids.user_keys(["u1", "ü2", "u3"])
    assert keys.dtype == np.uint64
    assert list(keys) == [ids.hash64(user) for user in ("u1", "ü2", "u3")]
    assert ids.user_keys([]).shape == (0,)


def test_draws_are_even_repeatable_and_apart_by_salt() -> None:
    keys = ids.user_keys(PEOPLE)
    first, second = ids.uniform(keys, "holdout", "1"), ids.uniform(keys, "holdout", "2")
    assert np.array_equal(first, ids.uniform(keys, "holdout", "1"))
    assert first.min() >= 0.0
    assert first.max() < 1.0
    tenths = np.histogram(first, bins=10, range=(0.0, 1.0))[0]
    # Five standard deviations of a tenth of 20,000 are 212.
    assert abs(tenths - 2_000).max() < 212
    # One standard deviation of a correlation of 20,000 pairs is 0.007.
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.035


def test_a_direct_campaign_names_template_and_class() -> None:
    for kind in ("marketing", "transactional"):
        assert ids.direct_template(ids.direct_campaign("price_drop", kind)) == "price_drop"
    assert ids.direct_template("marketing_sale") is None
    longest = ids.direct_campaign("x" * ids.MAX_DIRECT_LETTERS, "transactional")
    assert len(longest) == 64
