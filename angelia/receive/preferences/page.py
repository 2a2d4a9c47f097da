"""The page as HTML: forms only, no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jinja2 import Environment

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
_PAGE = Environment(autoescape=True).from_string(
    """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Messages</title>
<style>body{font:1rem/1.5 system-ui;max-width:32rem;margin:2rem auto;padding:0 1rem}
label{display:block;padding:.4rem 0}button{font:inherit;padding:.5rem 1rem}</style>
<h1>Messages</h1>
{% for note in notes %}<p role="status">{{ note }}</p>{% endfor %}
{% if question %}<form method="post">
{% for name, value in hidden.items() %}<input type="hidden" name="{{ name }}" value="{{ value }}">{% endfor %}
<p>{{ question }}</p><button>Yes</button></form>{% endif %}
{% if rows %}<form method="post"><input type="hidden" name="t" value="{{ token }}">
{% for kind, names in rows.items() %}<fieldset><legend>{{ kind }}</legend>
{% for name, is_yes in names.items() %}<label><input type="checkbox" name="{{ kind }}.{{ name }}"
{% if is_yes %} checked{% endif %}> {{ title(kind, name) }}</label>{% endfor %}</fieldset>
{% endfor %}<fieldset><legend>language</legend><select name="language"><option value="">as in the app</option>
{% for name in languages %}
<option{% if name == language %} selected{% endif %}>{{ name }}</option>{% endfor %}
</select></fieldset><fieldset><legend>quiet hours</legend>
{% for edge, own in (("from", quiet[0]), ("until", quiet[1])) %}
<label>{{ edge }} <select name="quiet_{{ edge }}">
<option value="">-</option>{% for hour in range(24) %}
<option value="{{ hour }}"{% if hour == own %} selected{% endif %}>{{ "%02d:00" % hour }}</option>{% endfor %}
</select></label>{% endfor %}</fieldset><p><button>Keep</button></p></form>{% endif %}
</html>
"""
)


def plain_name(_: str, name: str) -> str:
    """Return an id as words, for what the catalog has no title for."""
    return name.replace("_", " ")


@dataclass(frozen=True)
class OwnChoices:
    """Languages to choose from, the chosen one, and the hours that are quiet."""

    languages: tuple[str, ...] = ()
    language: str | None = None
    quiet: tuple[int | None, int | None] = (None, None)


def render(
    token: str = "",
    rows: Mapping[str, Mapping[str, bool]] | None = None,
    notes: tuple[str, ...] = (),
    question: str = "",
    hidden: Mapping[str, str] | None = None,
    own: OwnChoices | None = None,
    title: Callable[[str, str], str] = plain_name,
) -> str:
    """Return the page: the choices by kind, notes, or a question to say yes to.

    `hidden`: what the answer to the question carries; the token, if nothing is given. `title` gives what a
    kind and name is called.
    """
    own = own or OwnChoices()
    fields = {"t": token} if hidden is None else hidden
    return _PAGE.render(
        token=token, rows=rows or {}, notes=notes, question=question, hidden=fields, title=title, **vars(own)
    )
