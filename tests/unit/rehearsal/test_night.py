"""A night of a simulated shop: policies that look at no curves get flat ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from angelia.errors import NotFound
from angelia.rehearsal.night import decide
from angelia.rehearsal.policies import PolicyView
from angelia.rehearsal.site import ANCHOR, Site
from angelia.world.clock import day_name, day_number


def test_flat_curves_make_every_hour_alike(night: PolicyView) -> None:
    table = night.site.lake.read(night.site.lake.require("send_times", ds=ANCHOR))
    for half in ("workday", "day_off"):
        assert set(table[half].combine_chunks().flatten().to_pylist()) == {1.0}
    features = night.site.lake.read(night.inputs.features, ["ordinal", "timezone"]).sort_by("ordinal")
    assert table["ordinal"].to_pylist() == list(range(len(night.site.person)))
    assert table["timezone"].to_pylist() == features["timezone"].to_pylist()
    assert np.all(table["evidence"].to_numpy() == 0.0)


def test_a_night_without_features_is_named(shop: Site, tmp_path: Path) -> None:
    later = day_name(day_number(ANCHOR) + 1)
    with pytest.raises(NotFound, match=f"user_features has no commit for ds={later}"):
        decide(shop.copy(tmp_path / "twin"), later, "random", curves=False)
