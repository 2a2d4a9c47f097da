from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow.compute as pc
import pytest

from angelia.errors import InvalidInput, NotFound
from models import past
from models.dataset import Examples, read_examples, split_bounds
from models.features import FEATURES

DS, CUTOFF = "2026-11-14", "2026-11-07"


def us(moment: datetime) -> int:
    return int(moment.timestamp() * 1e6)


def test_only_mature_pushes_after_the_cutoff_get_in(lake, night) -> None:
    push, write_pushes = night.push, night.write_pushes
    night.write_features_and_catalog(lake, 300)
    rows = [push(i, 2, 5, "sale_camera", "sent") for i in range(200)]
    rows += [push(i, 2, 5, "sale_camera", "opened", 3.0) for i in range(50)]
    rows += [
        push(50, 2, 5, "sale_camera", "opened", 24.0),
        push(51, 2, 5, "sale_camera", "opened", 23.99),
    ]  # too late, just in time
    rows += [
        push(201, 6, 0, "sale_camera", "sent"),
        push(202, 5, 23, "sale_camera", "sent"),
    ]  # may still be opened; just mature
    rows += [
        push(203, -1, 23, "sale_camera", "sent"),
        push(203, -1, 23, "sale_camera", "opened", 2.0),
    ]  # sent on the cutoff day, opened after
    rows += [push(400, 2, 5, "sale_camera", "sent")]  # nobody knows this user's features
    write_pushes(lake, rows)
    examples = read_examples(lake, ds=DS, cutoff=CUTOFF)
    sent = examples.rows["sent_us"].to_numpy()
    assert sent.min() >= us(datetime(2026, 11, 8, tzinfo=UTC))
    assert sent.max() < us(datetime(2026, 11, 14, tzinfo=UTC))
    users = examples.rows["ordinal"].to_pylist()
    assert set(users) == {*range(200), 202}
    opened = {user for user, label in zip(users, examples.label, strict=True) if label}
    assert opened == {*range(50), 51}
    assert examples.left_out == {"not_mature": 1, "no_features": 1}
    assert examples.inputs[0].ref == f"user_features/ds={CUTOFF}@1"
    assert examples.rows["category"].to_pylist()[0] == "camera"
    assert examples.rows["topic"].to_pylist()[0] == "promo"


def peeking(before: Examples, after: Examples, until: int) -> list[str]:
    """Return the features of pushes before `until` that what came later has moved.

    Both are of the same shop; `after` has lived other days from `until` on.
    """
    early = [one.rows.filter(pc.less(one.rows["sent_us"], until)).sort_by("message_id")
             for one in (before, after)]  # fmt: skip
    assert early[0]["message_id"].equals(early[1]["message_id"])
    assert early[0].num_rows > 1000
    names = [feature.name for feature in FEATURES if feature.name in early[0].column_names]
    assert len(names) > 30
    return [name for name in names if early[0][name].to_pylist() != early[1][name].to_pylist()]


def test_a_leak_with_an_innocent_name_is_caught(week, night, monkeypatch) -> None:
    def lived() -> Examples:
        return read_examples(week, ds=DS, cutoff=CUTOFF)

    def leaky(*rows: object, day: int, **over: object) -> object:
        known, peeked = (behaviour(*rows, day=day + ahead, **over) for ahead in (0, 3))
        return replace(known, user=known.user | {"response": peeked.user["response"]})

    behaviour, until = past.behaviour, us(datetime(2026, 11, 13, tzinfo=UTC))
    clean = lived()
    monkeypatch.setattr(past, "behaviour", leaky)
    planted = lived()
    monkeypatch.undo()
    # On the 13th everybody is sent another push and opens it: no earlier push may know.
    new = [night.push(i, 5, 3, "sale_camera", kind, 0.5 * k, message_id=f"m{i:031d}")
           for i in range(night.N) for k, kind in enumerate(("sent", "opened"))]  # fmt: skip
    known = week.read(week.require("user_pushes", ds="2026-11-13")).to_pylist()
    night.write_pushes(week, [*known, *new])
    assert peeking(clean, lived(), until) == []
    monkeypatch.setattr(past, "behaviour", leaky)
    assert peeking(planted, lived(), until) == ["response"]


def test_parts_follow_each_other_in_time(week) -> None:
    examples = read_examples(week, ds=DS, cutoff=CUTOFF)
    sent = examples.rows["sent_us"].to_numpy()
    train, calibration, test = (sent[examples.part(name)] for name in ("train", "calibration", "test"))
    assert train.max() < calibration.min()
    assert calibration.max() < test.min()
    assert min(len(train), len(calibration), len(test)) > 500
    assert examples.weight.mean() == pytest.approx(1.0)


def test_a_share_of_the_users_is_drawn_whole_and_always_the_same(week) -> None:
    whole = read_examples(week, ds=DS, cutoff=CUTOFF)
    sample = read_examples(week, ds=DS, cutoff=CUTOFF, max_rows=6000)
    again = read_examples(week, ds=DS, cutoff=CUTOFF, max_rows=6000)
    assert 2500 < sample.rows.num_rows < 7000
    assert sample.rows.equals(again.rows)
    chosen = set(sample.rows["ordinal"].to_pylist())
    assert sample.rows.num_rows == sum(user in chosen for user in whole.rows["ordinal"].to_pylist())


def test_bad_cutoffs_are_refused_with_a_way_out(week, night) -> None:
    with pytest.raises(InvalidInput, match="no day of mature pushes"):
        read_examples(week, ds=DS, cutoff="2026-11-13")
    with pytest.raises(NotFound) as missing:
        read_examples(week, ds=DS, cutoff="2026-11-01")
    assert "build_features.py --ds 2026-11-01" in missing.value.one_line()
    with week.attempt("user_features", ds="2027-01-10") as attempt:
        attempt.write(night.table("user_features", [night.features(0)]), "part-0000.parquet")
        attempt.publish()
    with pytest.raises(InvalidInput, match="no push"):
        read_examples(week, ds="2027-01-20", cutoff="2027-01-10")


def test_pushes_of_one_instant_stay_in_one_part() -> None:
    sent = np.repeat(np.arange(10, dtype=np.int64), 10)
    assert split_bounds(sent) == (60, 80)
    assert split_bounds(np.zeros(7, dtype=np.int64)) == (7, 7)
    hours = np.repeat(np.array([1, 2, 3], dtype=np.int64), [70, 20, 10])
    assert split_bounds(hours) == (70, 70)
