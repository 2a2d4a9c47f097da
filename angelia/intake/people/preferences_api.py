"""A person's preferences as routes of the intake's application: what they take.

Reads `preference_choices`, `user_preferences` and `suppressions`; writes the first and the last. Surprise: a
yes is the client's word that the person said so; what a complaint, an operator or an erasure closed stays
closed, and the answer names it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from angelia.contracts.sources import CHANNEL, CHANNELS, NAME
from angelia.intake.bodies import body_of
from angelia.intake.errors import documented
from angelia.intake.people.access import KEY, NO_OTHER, SCOPE, PeopleAccess, UserId, answered, spoken
from angelia.lake import Lake
from angelia.users.choices import Choice, choose, openness, words_of

MAX_PREFERENCES_BYTES = 16_384
MOST = 100
ROUTE = "/v1/users/{user_id:path}/preferences"
Topic = Annotated[str, Field(pattern=NAME)]
Channel = Annotated[str, Field(pattern=CHANNEL)]


class PreferencesSaid(BaseModel):
    """What a person said: true = takes it. What is not named stays as it was."""

    model_config = ConfigDict(extra="forbid", strict=True)

    topics: dict[Topic, bool] = Field(default_factory=dict, max_length=MOST, json_schema_extra=NO_OTHER)
    channels: dict[Channel, bool] = Field(default_factory=dict, max_length=MOST, json_schema_extra=NO_OTHER)


class PreferencesView(BaseModel):
    """What a person takes; everything that is not named is taken."""

    topics: dict[str, bool]
    channels: dict[str, bool]


class PreferencesKept(PreferencesView):
    """What a person takes from now on; `still_closed` are channels that a yes does not open."""

    still_closed: list[str]


def add_preferences(app: FastAPI, people: PeopleAccess, lake: Lake) -> None:
    """Add the routes."""

    @app.get(ROUTE, response_model=PreferencesView, responses=documented(*KEY, "format"))
    async def show(request: Request, user_id: UserId) -> JSONResponse:
        """Show what a person said of topics and channels, and which channels are closed."""
        people.within_rate(await people.key(request, SCOPE), 1)
        return JSONResponse(await answered(_view, lake, user_id))

    @app.put(
        ROUTE,
        response_model=PreferencesKept,
        responses=documented(*KEY, "format", "not_json", "too_large"),
        openapi_extra=body_of(PreferencesSaid),
    )
    async def keep(request: Request, user_id: UserId) -> JSONResponse:
        """Keep what a person said; it holds for the next night, for channels within ten seconds."""
        wanted = await spoken(people, request, PreferencesSaid, MAX_PREFERENCES_BYTES)
        return JSONResponse(await answered(_kept, lake, user_id, wanted))


def _view(lake: Lake, user: str) -> dict[str, Any]:
    words = words_of(lake, user)
    spoken = {name for kind, name in words if kind == "channel"}
    channels = openness(lake, user, sorted(spoken | set(CHANNELS)), words)
    return {
        "topics": {name: yes for (kind, name), yes in sorted(words.items()) if kind == "topic"},
        # Open and never spoken of is as everywhere: it is left out.
        "channels": {name: yes for name, yes in channels.items() if name in spoken or not yes},
    }


def _kept(lake: Lake, user: str, wanted: PreferencesSaid) -> dict[str, Any]:
    words = words_of(lake, user)
    chosen: dict[Choice, bool] = {}
    opened = openness(lake, user, wanted.channels, words)
    for kind, named in (("topic", wanted.topics), ("channel", wanted.channels)):
        for name, yes in named.items():
            is_said = words.get((kind, name)) is yes
            # A word that holds already is not written again, so a request may be repeated.
            if not is_said or (kind == "channel" and opened[name] is not yes):
                chosen[kind, name] = yes
    closed = choose(lake, user, chosen, datetime.now(UTC)) if chosen else set()
    return _view(lake, user) | {"still_closed": sorted(name for _, name in closed)}
