"""A person's preferences as routes of the intake's application: what they take.

Reads `preference_choices`, `user_preferences` and `suppressions`; writes the first and the last. Surprise: a
yes is the client's word that the person said so; what a complaint, an operator or an erasure closed stays
closed, and the answer names it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import JSONResponse

from angelia.contracts.sources import CHANNEL, CHANNELS, LOCALE, NAME
from angelia.intake.bodies import body_of
from angelia.intake.errors import documented
from angelia.intake.people.access import KEY, NO_OTHER, SCOPE, PeopleAccess, UserId, answered, spoken
from angelia.lake import Lake
from angelia.timing.own_hours import parse_span
from angelia.users.choices import (
    CHOICES,
    LANGUAGE,
    Choice,
    changed,
    choose,
    chosen,
    openness,
    words_of,
)
from angelia.users.person_log import PersonLog
from angelia.users.since_plan.new_choices import QUIET_HOURS

MAX_PREFERENCES_BYTES = 16_384
MOST = 100
ROUTE = "/v1/users/{user_id:path}/preferences"
Topic = Annotated[str, Field(pattern=NAME)]
Channel = Annotated[str, Field(pattern=CHANNEL)]


class OwnHours(BaseModel):
    """Local hours in which nothing is sent, beside everybody's: from `start` up to `end`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    start: int = Field(ge=0, le=23)
    end: int = Field(ge=0, le=23)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.start == self.end:
            raise ValueError("start equals end: leave quiet hours out to have none")
        return self


class PreferencesSaid(BaseModel):
    """What a person said: true = takes it. What is not named stays as it was."""

    model_config = ConfigDict(extra="forbid", strict=True)

    topics: dict[Topic, bool] = Field(default_factory=dict, max_length=MOST, json_schema_extra=NO_OTHER)
    channels: dict[Channel, bool] = Field(default_factory=dict, max_length=MOST, json_schema_extra=NO_OTHER)
    language: Annotated[str, Field(pattern=LOCALE)] | None = Field(
        None, description="language tag; null takes the choice back"
    )
    quiet_hours: OwnHours | None = Field(None, description="local hours; null takes the choice back")


class PreferencesView(BaseModel):
    """What a person takes; everything that is not named is taken."""

    topics: dict[str, bool]
    channels: dict[str, bool]
    language: str | None = None
    quiet_hours: OwnHours | None = None


class PreferencesKept(PreferencesView):
    """What a person takes from now on; `still_closed` are channels that a yes does not open."""

    still_closed: list[str]


def add_preferences(app: FastAPI, people: PeopleAccess, lake: Lake) -> None:
    """Add the routes."""
    people_lake = PeopleLake(lake)

    @app.get(
        ROUTE,
        operation_id="preferences",
        response_model=PreferencesView,
        responses=documented(*KEY, "format"),
    )
    async def show(request: Request, user_id: UserId) -> JSONResponse:
        """Show what a person said of topics and channels, and which channels are closed."""
        people.within_rate(await people.key(request, SCOPE), 1)
        return JSONResponse(await answered(people_lake.view, user_id))

    @app.put(
        ROUTE,
        operation_id="put_preferences",
        response_model=PreferencesKept,
        responses=documented(*KEY, "format", "not_json", "too_large"),
        openapi_extra=body_of(PreferencesSaid),
    )
    async def keep(request: Request, user_id: UserId) -> JSONResponse:
        """Keep what a person said; all but the language holds within ten seconds."""
        wanted = await spoken(people, request, PreferencesSaid, MAX_PREFERENCES_BYTES)
        return JSONResponse(await answered(people_lake.keep, user_id, wanted))


class PeopleLake:
    """What people said; it knows both logs, and reads only what came since the last request."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._choices, self._suppressions = PersonLog(lake, CHOICES), PersonLog(lake, "suppressions")

    def view(self, user: str) -> dict[str, Any]:
        """Return what a person takes."""
        words = words_of(self._lake, user, self._choices)
        spoken = {name for kind, name in words if kind == "channel"}
        channels = openness(self._lake, user, sorted(spoken | set(CHANNELS)), words, self._suppressions)
        language, hours = chosen(words, LANGUAGE), parse_span(chosen(words, QUIET_HOURS) or "")
        return {
            "topics": {name: yes for (kind, name), yes in sorted(words.items()) if kind == "topic"},
            # Open and never spoken of is as everywhere: it is left out.
            "channels": {name: yes for name, yes in channels.items() if name in spoken or not yes},
            **({"language": language} if language else {}),
            **({"quiet_hours": {"start": hours[0], "end": hours[1]}} if hours else {}),
        }

    def keep(self, user: str, wanted: PreferencesSaid) -> dict[str, Any]:
        """Keep what a person said; return what they take from now on."""
        words = words_of(self._lake, user, self._choices)
        news: dict[Choice, bool] = {}
        opened = openness(self._lake, user, wanted.channels, words, self._suppressions)
        for kind, named in (("topic", wanted.topics), ("channel", wanted.channels)):
            for name, yes in named.items():
                is_said = words.get((kind, name)) is yes
                # A word that holds already is not written again, so a request may be repeated.
                if not is_said or (kind == "channel" and opened[name] is not yes):
                    news[kind, name] = yes
        # What is not named stays as it was; null is named.
        if "language" in wanted.model_fields_set:
            news |= changed(words, LANGUAGE, wanted.language)
        if "quiet_hours" in wanted.model_fields_set:
            hours = wanted.quiet_hours
            news |= changed(words, QUIET_HOURS, f"{hours.start}-{hours.end}" if hours else None)
        closed = choose(self._lake, user, news, datetime.now(UTC)) if news else set()
        return self.view(user) | {"still_closed": sorted(name for _, name in closed)}
