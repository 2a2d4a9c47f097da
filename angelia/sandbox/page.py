"""The live page: what phones would have received and how often, by dispatch.

It refreshes every two seconds. Everything shown comes from outside and is escaped; its policy lets no script
run even if something were not.
"""

from __future__ import annotations

from html import escape

from angelia.sandbox.phones import Phones

_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.3rem;margin:0 0 1rem}dl{display:flex;flex-wrap:wrap;gap:1rem 2.5rem;margin:0 0 1.5rem}dt{font-size:.8rem;opacity:.7}
dd{margin:0;font-size:1.4rem;font-variant-numeric:tabular-nums}.bad{color:#c62828}ol{list-style:none;padding:0;margin:0;display:grid;gap:.6rem;
grid-template-columns:repeat(auto-fill,minmax(19rem,1fr))}li{border:1px solid #8885;border-radius:.8rem;padding:.6rem .9rem;overflow-wrap:anywhere}
li b{display:block}small{opacity:.6}h2{font-size:1rem;margin:1.5rem 0 .5rem}table{border-collapse:collapse;margin:0 0 1.5rem}
td{padding:.15rem 1rem .15rem 0;font-variant-numeric:tabular-nums}code{font-size:.85rem}
"""
POLICY = ((b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:"),)
_SHOWN = 20


def render(phones: Phones) -> bytes:
    """Return the page as HTML, with everything from outside escaped."""
    stats = phones.stats()
    figures = [
        ("requests", stats["requests"]),
        ("received", stats["received"]),
        ("unique", stats["unique"]),
        ("doubled", stats["doubled"]),
    ]
    figures += [(name, number) for name, number in stats["outcomes"].items()]
    numbers = "".join(
        f"<div><dt>{escape(name)}</dt><dd{' class=bad' if name == 'doubled' and number else ''}>{number:,}</dd></div>"
        for name, number in figures
    )
    cards = "".join(
        f"<li><b>{escape(title)}</b>{escape(body)}<br>"
        f"<small>to {escape(token[:10])}… · dispatch {escape(dispatch[:8])}… · "
        f"{_times(phones, dispatch)}</small></li>"
        for dispatch, token, title, body in reversed(phones.recent)
    )
    rows = "".join(
        f"<tr><td><code>{escape(dispatch[:32])}</code><td class=bad>{count:,} times"
        for dispatch, count in list(phones.repeated.items())[-_SHOWN:]
    )
    doubled = f"<h2>Dispatches received more than once</h2><table>{rows}</table>" if rows else ""
    empty = "" if cards else "<p>No message yet.</p>"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh "
        f"content=2><link rel=icon href=data:,>"
        f"<meta name=viewport content='width=device-width,initial-scale=1'><title>Angelia "
        f"sandbox</title><style>{_STYLE}</style>"
        f"<h1>What the phones received</h1><dl>{numbers}</dl>{doubled}{empty}<ol>{cards}</ol></html>"
    ).encode()


def _times(phones: Phones, dispatch: str) -> str:
    count = phones.received.get(dispatch, 0)
    return (
        "without an id" if not count else "once" if count == 1 else f"<span class=bad>{count:,} times</span>"
    )
