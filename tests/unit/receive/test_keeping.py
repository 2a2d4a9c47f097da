"""Folding goes on beside the server, whatever happens to one fold."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.errors import AngeliaError
from angelia.receive.keeping import fold_once


@pytest.mark.parametrize("error", [AngeliaError("full"), OSError("disk"), ValueError("a file")])
def test_a_fold_that_fails_is_tried_again(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def fold() -> Any:
        raise error

    assert fold_once(fold) == {}
    assert "tried again" in capsys.readouterr().err
