"""What the routes about people share."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from angelia.errors import Corrupt
from angelia.intake.database import Unavailable
from angelia.intake.errors import Refused
from angelia.intake.people.access import answered


@pytest.mark.parametrize(("error", "shown"), [(Corrupt("a file"), Refused), (Unavailable("it"), Unavailable)])
def test_lake_and_database_fail_under_their_own_names(error: Exception, shown: type[Exception]) -> None:
    def broken(_: Any) -> dict[str, Any]:
        raise error

    with pytest.raises(shown):
        asyncio.run(answered(broken, "u1"))
