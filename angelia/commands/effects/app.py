"""The group `angelia effects`: commands of the report's room, and of this one."""

from __future__ import annotations

from angelia.commands.effects import mart
from angelia.commands.report import effects_app as app

app.command("mart")(mart.make)
app.command("figures")(mart.figures)
app.command("export")(mart.export)

__all__ = ["app"]
