"""The console alone, for anybody on this machine; its argument is the port."""

from __future__ import annotations

import sys

import uvicorn
from starlette.requests import Request

from angelia.console.access import Role, Visitor
from angelia.console.app import build_app
from angelia.console.engine import Engine


class Anybody:
    """Takes whoever asks for an operator."""

    async def visitor(self, request: Request) -> Visitor:
        """Return the operator."""
        return Visitor("operator", frozenset(Role))


if __name__ == "__main__":
    uvicorn.run(build_app(Anybody(), Engine()), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
