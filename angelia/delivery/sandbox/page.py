"""The live page: what phones would have received, refreshed every two seconds."""

from __future__ import annotations

from html import escape

from angelia.delivery.sandbox.phones import Phones

_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.3rem;margin:0 0 1rem}dl{display:flex;flex-wrap:wrap;gap:1rem 2.5rem;margin:0 0 1.5rem}dt{font-size:.8rem;opacity:.7}
dd{margin:0;font-size:1.4rem;font-variant-numeric:tabular-nums}.bad{color:#c62828}ol{list-style:none;padding:0;margin:0;display:grid;gap:.6rem;
grid-template-columns:repeat(auto-fill,minmax(19rem,1fr))}li{border:1px solid #8885;border-radius:.8rem;padding:.6rem .9rem;overflow-wrap:anywhere}
li b{display:block}small{opacity:.6}
"""


def render(phones: Phones) -> bytes:
    """Return the page as HTML. Texts come from outside: everything is escaped, nothing is executed."""
    stats = phones.stats()
    figures = [("requests", stats["requests"]), ("received", stats["received"]), ("unique", stats["unique"]), ("doubled", stats["doubled"])]
    figures += [(name, number) for name, number in stats["outcomes"].items()]
    numbers = "".join(
        f"<div><dt>{escape(name)}</dt><dd{' class=bad' if name == 'doubled' and number else ''}>{number:,}</dd></div>" for name, number in figures
    )
    cards = "".join(
        f"<li><b>{escape(title)}</b>{escape(body)}<br><small>{escape(token[:10])}… · {escape(dispatch[:8])}</small></li>"
        for dispatch, token, title, body in reversed(phones.recent)
    )
    empty = "" if cards else "<p>No message yet.</p>"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=2><link rel=icon href=data:,>"
        f"<meta name=viewport content='width=device-width,initial-scale=1'><title>Angelia sandbox</title><style>{_STYLE}</style>"
        f"<h1>What the phones received</h1><dl>{numbers}</dl>{empty}<ol>{cards}</ol></html>"
    ).encode()
