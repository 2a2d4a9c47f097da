"""The states of checks and of the guard: their order, their words, their badge on a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from angelia.drawing.page import Html
from angelia.quality.verdicts import CheckVerdict


def state(verdicts: Sequence[CheckVerdict]) -> str:
    """Return what some verdicts amount to: crashed, failed, warned, or ok."""
    if any(verdict.crashed for verdict in verdicts):
        return "crashed"
    if any(verdict.blocks for verdict in verdicts):
        return "failed"
    return "ok" if all(verdict.success for verdict in verdicts) else "warned"


SIGNS = {"ok": "", "warned": "!", "failed": "×", "crashed": "?"}
WORDS = {"ok": "passed", "warned": "warning", "failed": "failed", "crashed": "check crashed"}
GUARD_STATES = {
    "open": "ok",
    "missing": "warned",
    "campaigns": "warned",
    "night": "failed",
    "crashed": "crashed",
}
GUARD_WORDS = {
    "open": "plausible",
    "missing": "campaigns missing",
    "campaigns": "campaigns held back",
    "night": "night held back",
    "crashed": "crashed",
}


def badge(its: str, word: str = "") -> Html:
    """Return a state as a coloured word."""
    css = {"crashed": "bad", "failed": "bad", "warned": "warn", "ok": "good"}[its]
    return Html(f'<span class="verdict {css}">{escape(word or WORDS[its])}</span>')
