"""What an operator types, in this process."""

from __future__ import annotations

import pytest

from angelia.cli import main


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(args)
    return int(stop.value.code or 0)
