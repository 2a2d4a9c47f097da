"""`angelia rehearse`: let a model version decide in a simulated shop before it is promoted.

Reads the model registry; writes the verdict there (`p_open/rehearsals/{version}/`). A failed rehearsal is an
answer, not an error: the exit code is 0, and `models.promote` refuses the version.
"""

from __future__ import annotations

from typing import Annotated

import typer

from angelia.config import load_settings
from angelia.errors import Corrupt, GateClosed, InvalidInput
from angelia.output import JsonFlag, emit, progress
from models.judging import rehearsed
from models.registry import Registry


def command(
    version: Annotated[
        str, typer.Option("--version", help="A version that `python -m models.train` printed.")
    ],
    skip: Annotated[
        str,
        typer.Option(
            "--skip", metavar="WHY", help="Skip the rehearsal for this reason; the model's card repeats it."
        ),
    ] = "",
    by: Annotated[
        str, typer.Option("--by", help="With --skip: the person who is responsible for that.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Let a model version decide in a simulated shop: `angelia rehearse --version V`."""
    registry = Registry.configured(load_settings())
    if skip.strip():
        if not by.strip():
            raise InvalidInput("--skip names nobody", fix="a person answers for it: write --by NAME")
        registry.load(version)
        if failed := _failed(registry, version):
            raise GateClosed(
                f"model {version} was rehearsed: {'; '.join(failed)}; a skip would hide that",
                fix="train another, or overrule it with `python -m models.promote --force`",
            )
        verdict = rehearsed.skipped(version, skip.strip(), by.strip())
    else:
        from angelia.rehearsal.rehearse import rehearse  # its jobs and models take seconds to load

        verdict = rehearse(registry, version, note=progress)
    rehearsed.keep(registry, version, verdict)
    refused = rehearsed.shortfalls(verdict)
    result = {"version": version, "passes": not refused, "objections": refused, "verdict": verdict}
    emit(result | {"card": rehearsed.card_path(version)}, rehearsed.card(verdict), as_json)


def _failed(registry: Registry, version: str) -> list[str]:
    """Return what a verdict that is kept objects to; one that is damaged can be skipped."""
    try:
        verdict = rehearsed.kept(registry, version)
    except Corrupt:
        return []
    return [] if verdict is None else rehearsed.shortfalls(verdict)
