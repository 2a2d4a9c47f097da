"""What send_time measures: local days, three hours after, paired gains; what it refuses."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia.errors import InvalidInput
from benchmarks import send_time
from benchmarks.measured import send_time_data as data
from benchmarks.measured import send_time_methods as methods

BEGIN = datetime(2026, 11, 2, tzinfo=UTC)  # a Monday


def events(*rows: tuple[str | None, int, str | None]) -> pa.Table:
    """Return events by user, hours after the begin, timezone."""
    stamps = [BEGIN + timedelta(hours=hours) for _, hours, _ in rows]
    return pa.table(
        {
            "user_id": pa.array([user for user, _, _ in rows], pa.string()),
            "event_ts": pa.array(stamps, pa.timestamp("us", "UTC")),
            "timezone": pa.array([zone for _, _, zone in rows], pa.string()),
        }
    )


def test_local_days_and_hours_follow_the_timezone() -> None:
    log = data.from_events(
        events(("a", 20, "Asia/Shanghai"), ("a", 20, "Asia/Shanghai"), ("b", 20, "UTC"), ("a", 240, "UTC"))
    )
    at = list(zip(log.user.tolist(), log.cell.tolist(), (log.date - log.date.min()).tolist(), strict=True))
    # Whoever moved is where they were last; an hour counts once.
    assert at == [(0, 20, 0), (0, 0, 10), (1, 20, 0)]
    east = data.from_events(events(("a", 20, "Asia/Shanghai"), ("a", 240, "Asia/Shanghai")))
    assert (east.cell[0], east.date[1] - east.date[0]) == (4, 9)


def test_rows_left_out_are_counted() -> None:
    log = data.from_events(events(("a", 1, "UTC"), (None, 2, "UTC"), ("b", 300, "Mars/Base")))
    assert log.left_out == {"null": 1, "people_of_unknown_timezone": 1}
    assert log.people == 2


def test_three_hours_go_on_after_midnight() -> None:
    # Thirteen days, of which the last three are predicted: active at midnight of the twelfth only.
    log = data.from_events(
        events(("a", 1, "UTC"), ("a", 24 * 10 + 23, "UTC"), ("a", 24 * 11, "UTC"), ("a", 24 * 12 + 9, "UTC"))
    )
    assert (log.days, log.cut) == (13, 10)
    later, soon, days = send_time.outcomes(log)
    assert later.sum() == 3
    assert days.sum() == 3
    assert soon.sum(axis=1)[0, [20, 21, 22, 23, 0]].tolist() == [0, 1, 1, 1, 1]
    assert soon.sum(axis=1)[0, 7:10].tolist() == [1, 1, 1]


def test_values_are_those_of_the_persons_own_hours() -> None:
    log = data.from_events(
        events(("a", 8, "UTC"), ("b", 8, "UTC"), ("a", 24 * 8 + 8, "UTC"), ("a", 24 * 9 + 8, "UTC"))
    )
    share = np.full((2, 2, 24), 0.5 / 23)
    share[:, :, 8] = 0.5
    values = send_time.scored(share, share, log, *send_time.outcomes(log), np.array([True, False]))
    assert values["hit_at_1"][0] == 1.0
    assert values["log_likelihood"][0] == pytest.approx(np.log(0.5))
    assert values["within_3h"][0] == 1.0
    assert values["hit_at_1_cold"][0] == 1.0
    assert np.isnan(values["hit_at_1"][1])  # never active later: no value, rather than a miss


def test_every_method_gives_shares_from_the_history_alone() -> None:
    rng = np.random.default_rng(2)
    rows = [
        (f"u{i % 40}", int(24 * day + rng.normal(8 + 12 * (i % 2), 1)), "UTC")
        for day in range(40)
        for i in range(40)
        if rng.random() < 0.4
    ]
    log = data.from_events(events(*rows))
    later = log.day >= log.cut
    shifted = data.HoursLog(**{**vars(log), "cell": np.where(later, (log.cell + 5) % 48, log.cell)})
    for name, method in {**methods.PEERS, "ours": lambda log: methods.ours(log).habit}.items():
        share = method(log)
        np.testing.assert_allclose(share.sum(axis=2), 1.0, err_msg=name)
        np.testing.assert_array_equal(share, method(shifted), err_msg=name)


def test_gains_are_paired_by_person() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(0, 10, 500)
    row = send_time.gains({"x": base + 0.1, "y": base}, {"x": base, "y": np.full(500, np.nan)})
    assert row == {"x": [0.1, 0.1, 0.1]}
    assert send_time.means({"x": np.array([1.0, np.nan, 2.0]), "y": np.array([np.nan])}) == {"x": 1.5}


def test_a_table_of_another_form_is_refused_in_one_line(tmp_path) -> None:
    good = events(("a", 1, "UTC"), ("a", 300, "UTC"))
    with pytest.raises(InvalidInput, match="no column timezone"):
        data.from_events(good.drop_columns(["timezone"]))
    with pytest.raises(InvalidInput, match="not a timestamp"):
        data.from_events(good.set_column(1, "event_ts", pa.array([1, 2])))
    with pytest.raises(InvalidInput, match="spans 1 days"):
        data.from_events(good.slice(0, 1))
    (tmp_path / "broken.parquet").write_bytes(b"no")
    with pytest.raises(InvalidInput, match="cannot be read"):
        data.read(tmp_path / "broken.parquet")
    with pytest.raises(InvalidInput, match="is no file"):
        data.read(tmp_path / "absent.csv")
    with pytest.raises(InvalidInput, match="neither"):
        data.read(tmp_path)
    pq.write_table(good, tmp_path / "good.parquet")
    assert data.read(tmp_path / "good.parquet").days == 13
