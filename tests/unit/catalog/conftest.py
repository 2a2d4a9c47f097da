"""A small whole catalog as YAML, and a store to apply it to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from angelia.catalog.store import CatalogStore

SMALL = """\
kind: policy
id: default
holdout: {share_pct: 2.0, salt: g}
explore: {slot_share_pct: 5.0, epsilon: 0.1, temperature: 0.02}
salt: s
---
kind: channel
id: fcm
provider: fcm_v1
capacity_per_hour: 100
quota_per_minute: 100
---
kind: channel
id: sms
provider: twilio
enabled: false
capacity_per_hour: 100
quota_per_minute: 100
---
kind: audience
id: everyone
predicate: "reachable('fcm')"
---
kind: audience
id: women
predicate: "in_audience('everyone') AND gender = 'f'"
---
kind: template
id: sale
channel: fcm
variables: {item: {}, level: {source: user.membership_level, default: 0}}
variants:
  en: {title: "Sale: {{ item }}", body: "{% if level >= 2 %}Members first. {% endif %}{{ item }} for less."}
  de: {title: "Angebot: {{ item }}", body: "{{ item }} im Angebot"}
link: "https://shop.example/{{ category }}?c={{ campaign_id }}"
---
kind: material
id: sale_camera
template: sale
category: camera
fields: {item: cameras}
---
kind: material
id: sale_books
template: sale
category: books
fields: {item: books}
---
kind: experiment
id: copy
salt: c
arms: [{name: a, share_pct: 50}, {name: b, share_pct: 50, materials: [sale_books]}]
---
kind: campaign
id: sale
name: Sale
topic: promo
owner: growth
audience: women
materials: [sale_camera, sale_books]
channels: [fcm, sms]
value_per_open: 0.05
occurrence: {every: weekly, weekdays: [sat, sun]}
start_date: 2026-11-01
end_date: 2026-11-30
send_window: {start: 9, end: 21}
holdout_pct: 5
experiment: copy
"""


@pytest.fixture
def store(settings_home: Path) -> CatalogStore:
    return CatalogStore.open(f"sqlite:///{settings_home / 'catalog.db'}")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the small catalog, edited by (old, new) pairs, to a folder of its own and returns the folder."""

    def write_edited(*edits: tuple[str, str], more: str = "") -> Path:
        text = SMALL
        for old, new in edits:
            assert text.count(old) >= 1, old
            text = text.replace(old, new, 1)
        folder = tmp_path / f"campaigns {len(list(tmp_path.glob('campaigns *')))}"
        folder.mkdir()
        (folder / "all.yaml").write_text(text + (f"---\n{more}" if more else ""), encoding="utf-8")
        return folder

    return write_edited
