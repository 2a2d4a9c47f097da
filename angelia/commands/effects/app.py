"""The group `angelia effects`: commands of the report's room, and of this one.

Reads the lake. `mart` writes `effects_mart`, `uplift` a user list or a lift model, `export` and
`series` a file; the others write nothing.
"""

from __future__ import annotations

from angelia.commands.effects import mart
from angelia.commands.effects.drift import drift
from angelia.commands.effects.experiment import experiment
from angelia.commands.effects.series import series
from angelia.commands.effects.uplift import uplift
from angelia.commands.report import effects_app as app

app.command("mart")(mart.make)
app.command("figures")(mart.figures)
app.command("export")(mart.export)
app.command("series")(series)
app.command("experiment")(experiment)
app.command("uplift")(uplift)
app.command("drift")(drift)

__all__ = ["app"]
