"""How people can be reached: the same whether endpoints are read each time, mapped or kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.worker.fallover import OpenAddresses
from angelia.intake.dispatching import sample_night
from angelia.lake import Lake
from angelia.users.registered import register
from tests.unit.delivery.given import DS


def newest(reach: OpenAddresses, channels: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {key: of_person[0] for key, of_person in reach.devices(channels).items()}


@pytest.mark.parametrize("kept_rows", [0, 1, 1_000])
def test_addresses_kept_in_memory_are_the_same(lake: Lake, kept_rows: int) -> None:
    sample_night.make(lake, 4, DS, features={"channels": [["email"]] * 3 + [[]]})
    rows = [
        {"user_id": sample_night.user(number), "channel": "email", "address": address, "is_active": is_active,
         "registered_ts": datetime(2026, 1, day, tzinfo=UTC)}
        for number, address, day, is_active in [
            (0, "anna@shop.example", 1, True),
            (0, "old@shop.example", 2, False),
            (1, " Anna@Shop.example", 3, True),  # the same address, registered by another since
            (2, "carl@bücher.example", 1, True),
            (3, "refused@shop.example", 1, True),
        ]
    ]  # fmt: skip
    with lake.attempt("user_endpoints", ds=DS) as attempt:
        table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_endpoints")))
        attempt.write(table, "part-0000.parquet")
        endpoints = attempt.publish()
    features = lake.require("user_features", ds=DS)
    reach = OpenAddresses(lake, features, endpoints, sample_night.SHARD_BITS, kept_rows=kept_rows)
    users = [sample_night.user(number) for number in range(4)]
    for _ in range(2):
        assert newest(reach, reach.channels(users, range(4))) == {
            (users[1], "email"): " Anna@Shop.example",
            (users[2], "email"): "carl@xn--bcher-kva.example",
        }


@pytest.mark.parametrize("kept_rows", [0, 1, 1_000])
def test_what_clients_registered_counts_beside_them(lake: Lake, kept_rows: int) -> None:
    sample_night.make(lake, 3, DS, features={"channels": [["email"]] * 3})
    columns = ["user_id", "channel", "address", "registered_ts", "is_active"]

    def row(number: int, address: str, day: int, is_active: bool = True) -> dict[str, object]:
        at = datetime(2026, 1, day, tzinfo=UTC)
        values = (sample_night.user(number), "email", address, at, is_active)
        return dict(zip(columns, values, strict=True))

    with lake.attempt("user_endpoints", ds=DS) as attempt:
        rows = [row(0, "old@shop.example", 1), row(1, "ann@shop.example", 3), row(2, "carl@shop.example", 1)]
        table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_endpoints")))
        attempt.write(table, "part-0000.parquet")
        endpoints = attempt.publish()
    register(lake, [row(0, "old@shop.example", 2, False), row(1, "ann@shop.example", 2, False)])
    register(lake, [row(0, "new@shop.example", 2), row(1, "Carl@Shop.example", 2)])  # whose it is since
    features = lake.require("user_features", ds=DS)
    reach = OpenAddresses(lake, features, endpoints, sample_night.SHARD_BITS, kept_rows=kept_rows)
    users = [sample_night.user(number) for number in range(3)]
    assert newest(reach, reach.channels(users, range(3))) == {
        (users[0], "email"): "new@shop.example",
        (users[1], "email"): "ann@shop.example",
    }
    # A device that shows no notifications is not fallen over to; the person's other one is.
    register(lake, [row(1, "ann@shop.example", 4) | {"permission": "denied"}])
    reach = OpenAddresses(lake, features, endpoints, sample_night.SHARD_BITS, kept_rows=kept_rows)
    assert newest(reach, reach.channels(users, range(3)))[users[1], "email"] == "Carl@Shop.example"
