"""All pages as one application: routes, static files, answers to whoever may not pass.

Reads the folder `static/` once. Surprise: a page on which somebody's session has ended stands inside
Airflow's frame; it says "reload" there, since a login page inside the frame would log nobody in.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import pkgutil
import re
from pathlib import Path
from urllib.parse import urlencode

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from angelia.console import pages
from angelia.console.access import NEEDED, Forbidden, NotLoggedIn, VisitorAccess
from angelia.console.desk import Page, desk_of, environment
from angelia.console.engine import Engine
from angelia.console.guard import Guard, allowed_hosts, failed
from angelia.drawing.page import STYLE
from angelia.errors import AngeliaError, InvalidInput

STATIC = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
UNKNOWN = "The address may be mistyped, or from an older version; the links above lead to every page."
NOT_HERE = "This address does not take such a request; begin again at one of the links above."
LOG = logging.getLogger(__name__)
_LIGHT = re.compile(r"^:root\{(?P<light>[^}]*)\}", re.MULTILINE)
_DARK = re.compile(r"@media \(prefers-color-scheme:dark\)\{:root\{(?P<dark>[^}]*)\}\}")


def all_pages() -> list[Page]:
    """Return the pages of the folder `pages/`, in the order of the navigation."""
    modules = [
        importlib.import_module(f"{pages.__name__}.{module.name}")
        for module in pkgutil.iter_modules(pages.__path__)
    ]
    return sorted((module.PAGE for module in modules if hasattr(module, "PAGE")), key=lambda page: page.order)


def themed(style: str) -> str:
    """Return a style sheet whose colours also follow the theme that is named on the page."""
    light, dark = _LIGHT.search(style), _DARK.search(style)
    if light is None or dark is None:
        raise ValueError("the style sheet names no colours for light and dark")
    return (
        f"{style}\n:root[data-theme=light]{{{light['light']};color-scheme:light}}\n"
        f":root[data-theme=dark]{{{dark['dark']};color-scheme:dark}}\n"
    )


def static_files() -> dict[str, bytes]:
    """Return the files that pages load, by name."""
    files = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in TYPES}
    sheets = [files.pop(name) for name in sorted(files) if name.endswith(".css")]
    files["console.css"] = b"".join([themed(STYLE).encode(), *sheets])
    return files


def build_app(access: VisitorAccess, engine: Engine, *, prefix: str = "/angelia") -> Guard:
    """Return the console.

    Args:
        access: who is asking.
        prefix: where it is mounted; Airflow's own API stands beside it.
    """
    app = FastAPI(title="Angelia console", docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False
    files = static_files()
    app.state.access, app.state.engine, app.state.prefix = access, engine, prefix
    app.state.templates, app.state.pages = environment(), all_pages()
    app.state.static_version = hashlib.sha256(b"".join(files.values())).hexdigest()[:12]
    for page in app.state.pages:
        app.include_router(page.router)

    @app.get("/static/{name}", response_model=None)
    def static(name: str, v: str = "") -> Response:
        """Return a file; it says nothing of anybody, so nobody is asked who they are."""
        if name not in files:
            raise HTTPException(404)
        kept = "public, max-age=31536000, immutable" if v == app.state.static_version else "no-cache"
        return Response(files[name], media_type=TYPES[Path(name).suffix], headers={"Cache-Control": kept})

    _answer_refused(app)
    return Guard(app, allowed_hosts())


def _answer_refused(app: FastAPI) -> None:
    @app.exception_handler(NotLoggedIn)
    def not_logged_in(request: Request, error: NotLoggedIn) -> Response:
        desk, kind = desk_of(request), request.headers.get("sec-fetch-dest", "")
        if kind == "document" and request.method == "GET":
            back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            airflow = desk.root.removesuffix(app.state.prefix)
            return RedirectResponse(f"{airflow}/api/v2/auth/login?{urlencode({'next': back})}", 303)
        if kind == "empty":
            return JSONResponse({"error": "your session has ended; reload the page"}, 401)
        return desk.show("session.html", status=401, title="Your session has ended")

    @app.exception_handler(Forbidden)
    def forbidden(request: Request, error: Forbidden) -> Response:
        return desk_of(request).show(
            "forbidden.html",
            status=403,
            title="You may not do this",
            role=error.role.value,
            needed=NEEDED[error.role],
        )

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> Response:
        return failed(error)  # the guard logs it

    @app.exception_handler(AngeliaError)
    def refused(request: Request, error: AngeliaError) -> Response:
        return desk_of(request).refuse(error)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> Response:
        # The value that was sent is not repeated: it may be a person's id.
        names = ", ".join(sorted({str(problem["loc"][-1]) for problem in error.errors()}))
        return desk_of(request).refuse(_malformed(names, is_form=request.method == "POST"))

    @app.exception_handler(StarletteHTTPException)
    def missing(request: Request, error: StarletteHTTPException) -> Response:
        is_unknown = error.status_code == 404
        title = "There is no such page" if is_unknown else "That did not work"
        explains = UNKNOWN if is_unknown else NOT_HERE
        return desk_of(request).show("missing.html", status=error.status_code, title=title, explains=explains)


def _malformed(names: str, *, is_form: bool) -> AngeliaError:
    if is_form:
        return InvalidInput(f"the form's {names} cannot be read", fix="go back, and fill it in again")
    return InvalidInput(f"the address's {names} cannot be read", fix="follow the links of the pages")
