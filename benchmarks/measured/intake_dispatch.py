"""The dispatcher's part of `intake`: due messages, through the worker, to a sandbox."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from angelia.errors import AngeliaError
from angelia.intake.database import connect
from angelia.intake.dispatching import sample_night
from angelia.intake.message import Draft, IntakeMessage, draft, now
from angelia.intake.store import IntakeStore
from angelia.lake import Lake
from benchmarks.deliver import environment
from benchmarks.harness.serving import sandbox

NIGHT = "2026-11-26"
GROUP = 2_000


def dispatched(folder: Path, messages: int, kind: str) -> dict[str, Any]:
    """Return how fast due messages reach the sandbox, and how many did not or did twice.

    Args:
        messages: one to each of so many people.
        kind: `transactional`, or `marketing`, which asks for consent, holdouts and caps.
    """
    home = folder / f"dispatch-{kind}"
    home.mkdir()
    documents = list(sample_night.DOCUMENTS)
    documents[0] = {**sample_night.POLICY, "caps": [{"messages": 3, "days": 7}], "min_gap_hours": 1}
    sample_night.make(Lake.open(str(home / "lake")), messages, NIGHT, documents=documents)
    engine = connect(f"sqlite:///{home / 'intake.db'}")
    store = IntakeStore(engine)
    campaign = {"marketing": "sale", "transactional": "order"}[kind]
    for first in range(0, messages, GROUP):
        drafts = [_draft(number, campaign, kind) for number in range(first, min(messages, first + GROUP))]
        store.accept(drafts)
    engine.dispose()
    with sandbox(folder / f"{kind}-sandbox") as names:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        words = [sys.executable, "-m", "angelia.cli", "intake", "dispatch", "--once", "--json"]
        done = subprocess.run(
            words, env=environment(names, "fcm") | {"ANGELIA_HOME": str(home)}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise AngeliaError(f"the dispatcher ended with {done.returncode}", fix=done.stderr.strip()[-300:])
        with urlopen(f"{names['http_url']}/stats", timeout=60) as answer:
            stats = json.load(answer)
    report = json.loads(done.stdout)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "per_s": round(messages / report["seconds"]),
        "per_processor_s": round(messages / used_s),
        "lost": messages - stats["unique"],
        "doubled": stats["doubled"],
    }


def _draft(number: int, campaign: str, kind: str) -> Draft:
    fields = {
        "user_id": sample_night.user(number),
        "campaign_id": campaign,
        "class": kind,
        "variables": {"item": f"order {number}"},
    }
    made = draft(IntakeMessage.model_validate(fields), "bench", now())
    assert isinstance(made, Draft)
    return made


def dispatched_of(folder: Path, messages: int) -> dict[str, Any]:
    """Return the figures of both kinds, as the benchmark names them."""
    marketing = dispatched(folder, messages, "marketing")
    transactional = dispatched(folder, messages, "transactional")
    return {
        "dispatched_per_s": transactional["per_s"],
        "dispatched_per_processor_s": transactional["per_processor_s"],
        "dispatched_marketing_per_s": marketing["per_s"],
        "dispatched_marketing_per_processor_s": marketing["per_processor_s"],
        "dispatched_lost": transactional["lost"] + marketing["lost"],
        "dispatched_doubled": transactional["doubled"] + marketing["doubled"],
    }
