"""The examples in docs/CATALOG.md are a catalog that can be applied."""

from __future__ import annotations

import re
from pathlib import Path

import angelia
from angelia.catalog.apply import plan
from angelia.catalog.documents import KINDS
from angelia.catalog.store import CatalogStore

GUIDE = Path(angelia.__file__).parent.parent / "docs" / "CATALOG.md"


def test_the_examples_of_the_guide_fit_together(store: CatalogStore, tmp_path: Path) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    apns = (
        "kind: channel\nid: apns\nprovider: apns\nenabled: false\ncapacity_per_hour: 1\nquota_per_minute: 1\n"
    )
    file = tmp_path / "guide.yaml"
    file.write_text("---\n".join([*examples, apns]), encoding="utf-8")
    created = plan(store, [file]).having("created")
    assert {name.split("/")[0] for name in created} == set(KINDS)
