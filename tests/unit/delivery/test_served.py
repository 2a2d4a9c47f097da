"""The plan that is sent, whatever was planned again since."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.contracts.rows import valid_rows
from angelia.delivery.manifest.served import require_manifest, served
from angelia.errors import NotFound
from angelia.lake import Commit, Lake

DS = "2026-11-14"


def put(lake: Lake, name: str, *inputs: Commit, n: int = 5) -> Commit:
    keys = {"send_hour": "2026-11-15T04", "channel": "fcm", "priority": "medium", "part": "0000"}
    with lake.attempt(name, ds=DS) as attempt:
        given: dict[str, Any] = {"keys": keys} if name == "dispatch_manifest" else {}
        attempt.write(valid_rows(name, n), "part-0000.parquet", conform=False, **given)
        return attempt.publish(inputs=inputs)


def test_a_plan_that_was_never_emitted_is_not_served(lake: Lake) -> None:
    assert served(lake, "decisions", DS) is None
    members, snapshot = put(lake, "audience_members"), put(lake, "catalog_snapshot")
    plan = put(lake, "decisions", members, snapshot)
    assert served(lake, "decisions", DS) == plan, "no manifests yet: the newest"
    manifest = put(lake, "dispatch_manifest", plan, snapshot)
    again = put(
        lake, "decisions", put(lake, "audience_members", n=6), put(lake, "catalog_snapshot", n=6), n=6
    )
    assert again.number == 2
    heads = {name: served(lake, name, DS) for name in ("decisions", "audience_members", "catalog_snapshot")}
    assert heads == {"decisions": plan, "audience_members": members, "catalog_snapshot": snapshot}
    assert served(lake, "dispatch_manifest", DS) == manifest
    put(lake, "dispatch_manifest", again, n=6)
    assert served(lake, "decisions", DS) == again
    newer = served(lake, "catalog_snapshot", DS)
    assert newer is not None
    assert newer.number == 2, "the plan's, where the manifests name none"


def test_what_expired_or_was_never_cited_is_the_newest(lake: Lake) -> None:
    plan = put(lake, "decisions")
    put(lake, "dispatch_manifest", plan)
    newest = put(lake, "decisions", n=6)
    lake.store.create(plan.key.replace(".json", ".expired"), b"{}")
    assert served(lake, "decisions", DS) == newest
    put(lake, "dispatch_manifest", n=6)
    assert served(lake, "decisions", DS) == newest


def test_a_night_without_manifests_says_what_lacks(lake: Lake) -> None:
    with pytest.raises(NotFound, match=f"{DS} has no plan to send") as refused:
        require_manifest(lake, DS)
    assert "name another: no night has any yet" in refused.value.one_line()
    plan = put(lake, "decisions")
    with pytest.raises(NotFound, match=f"the plan of {DS} has no manifests"):
        require_manifest(lake, DS)
    manifest = put(lake, "dispatch_manifest", plan)
    assert require_manifest(lake, DS) == manifest
