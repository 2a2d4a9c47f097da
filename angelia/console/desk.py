"""What a page is made with: its place, its routes with their roles, the desk it writes on.

A page is a module in `pages/` with `PAGE = Page(…)` and one template of its name. A route cannot be
declared without a role: reading asks for a viewer, writing for the role it names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

import jinja2
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup

from angelia.console.access import Forbidden, NotLoggedIn, Role, Visitor, VisitorAccess
from angelia.console.engine import Engine
from angelia.console.words import FILTERS
from angelia.errors import AngeliaError, Conflict, InvalidInput, NotFound

TEMPLATES = Path(__file__).parent / "templates"
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Page:
    """One page of the console; `order` is its place in the navigation."""

    name: str
    title: str
    order: int
    is_listed: bool = True
    router: APIRouter = field(default_factory=APIRouter, compare=False)

    @property
    def path(self) -> str:
        """Where its routes begin."""
        return f"/{self.name}"

    def get(self, path: str = "", *, role: Role = Role.VIEWER) -> Callable[[F], F]:
        """Declare a reading route."""
        return self._route("GET", path, role)

    def post(self, path: str = "", *, role: Role) -> Callable[[F], F]:
        """Declare a route that writes, or that takes what may stand in no URL (a person's id)."""
        return self._route("POST", path, role)

    def _route(self, method: str, path: str, role: Role) -> Callable[[F], F]:
        def declare(function: F) -> F:
            self.router.add_api_route(
                self.path + path,
                function,
                methods=[method],
                dependencies=[Depends(needs(role))],
                response_model=None,
                openapi_extra={"role": role.value},
            )
            return function

        return declare


def needs(role: Role) -> Callable[[Request], Any]:
    """Return the check that lets a route's request through only for people with a role."""

    async def check(request: Request) -> None:
        access: VisitorAccess = request.app.state.access
        visitor = await access.visitor(request)
        if visitor is None:
            raise NotLoggedIn
        request.state.visitor = visitor
        for asked in (Role.VIEWER, role):
            if asked not in visitor.roles:
                raise Forbidden(asked)

    return check


@dataclass(frozen=True)
class DeskNow:
    """What a page's function gets for one request: who asks, what there is, and how to answer."""

    request: Request
    visitor: Visitor | None
    engine: Engine

    @property
    def root(self) -> str:
        """Address under which the console stands."""
        return str(self.request.scope.get("root_path", "")).rstrip("/")

    def show(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page."""
        state = self.request.app.state
        text = state.templates.get_template(template).render(
            root=self.root,
            airflow=self.root.removesuffix(state.prefix),
            visitor=self.visitor,
            may={role.value: bool(self.visitor and self.visitor.may(role)) for role in Role},
            pages=state.pages,
            here=self.request.url.path.removeprefix(self.root),
            version=state.static_version,
            now=self.engine.now(),
            **values,
        )
        return HTMLResponse(text, status)

    def go(self, path: str, **query: str) -> Response:
        """Return the way to another page after something was done; no person's id may stand in it."""
        tail = f"?{urlencode(query)}" if query else ""
        return RedirectResponse(f"{self.root}{path}{tail}", 303)

    def refuse(self, error: AngeliaError) -> Response:
        """Return the page that says what is wrong, and what to do about it."""
        kinds = ((InvalidInput, 400), (NotFound, 404), (Conflict, 409))
        status = next((code for kind, code in kinds if isinstance(error, kind)), 500)
        is_form = self.request.method == "POST"
        return self.show(
            "refused.html", status=status, title="That did not work", error=error, is_form=is_form
        )


def desk_of(request: Request) -> DeskNow:
    """Return the desk of a request."""
    visitor = getattr(request.state, "visitor", None)
    return DeskNow(request, visitor, request.app.state.engine)


Desk = Annotated[DeskNow, Depends(desk_of)]


def environment() -> jinja2.Environment:
    """Return the templates: everything is escaped, and a missing value is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Charts come from `angelia.drawing`, which escapes what it is given.
    made.filters.update(FILTERS, chart=Markup)
    return made
