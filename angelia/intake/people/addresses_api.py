"""A person's addresses as routes of the intake's application.

Reads and writes by `addresses.py`. Surprises: answers show addresses masked; a new mail address is the
person's only after their yes to a mail, which is sent after the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse

from angelia.contracts.devices.endpoints import APP_VERSION
from angelia.contracts.sources import CHANNEL
from angelia.importing.addresses import judge_addresses
from angelia.intake.answers import moment_of
from angelia.intake.bodies import body_of
from angelia.intake.errors import documented, refused
from angelia.intake.message import OneAddress, now
from angelia.intake.people.access import KEY, NO_OTHER, SCOPE, PeopleAccess, UserId, answered, spoken
from angelia.intake.people.addresses import Device, PeopleAddresses, Spelling
from angelia.users.addresses import masked

MAX_ADDRESSES_BYTES = 262_144
MOST = 20  # of a channel
ROUTE = "/v1/users/{user_id:path}/addresses"
Channel = Annotated[str, Field(pattern=CHANNEL)]
Permission = Literal["allowed", "denied", "unknown"]
Ask = Callable[[str, str, str], Awaitable[bool]]  # person, channel, address -> a mail is on its way


class MailQuestions:
    """Who asks people for the yes that a new mail address waits for; this one can ask nobody."""

    def offers(self, channel: str) -> bool:
        """Say whether mails go through a channel."""
        return False

    async def ask(self, user: str, channel: str, address: str) -> bool:
        """Send the question; False = it was not taken."""
        return False


class AddressOfDevice(BaseModel):
    """An address with what is known of its device; what is left out stays as it was."""

    model_config = ConfigDict(extra="forbid", strict=True)

    address: OneAddress
    app_version: Annotated[str, Field(pattern=APP_VERSION)] | None = None
    permission: Permission | None = None


AnyAddress = Annotated[
    Annotated[OneAddress, Tag("text")] | Annotated[AddressOfDevice, Tag("device")],
    Discriminator(lambda value: "device" if isinstance(value, dict | AddressOfDevice) else "text"),
]


class AddressesSaid(BaseModel):
    """A person's addresses by channel of the catalog; other channels stay as they were."""

    model_config = ConfigDict(extra="forbid", strict=True)

    addresses: dict[Channel, Annotated[list[AnyAddress], Field(max_length=MOST)]] = Field(
        max_length=100, json_schema_extra=NO_OTHER
    )


class AddressView(BaseModel):
    """An address, masked; `closed` was ended by its provider, `waiting` needs the person's yes."""

    channel: str
    address: str
    since: str
    state: Literal["open", "waiting", "closed"]
    app_version: str | None
    permission: Permission | None


class AddressesView(BaseModel):
    """How a person can be reached."""

    addresses: list[AddressView]


class ClosedAddress(BaseModel):
    """An address, masked, that is not taken again."""

    channel: str
    address: str


class AddressesKept(AddressesView):
    """How a person can be reached from the next night on."""

    still_closed: list[ClosedAddress]


def add_addresses(
    app: FastAPI, people: PeopleAccess, known: PeopleAddresses, questions: MailQuestions
) -> None:
    """Add the routes."""

    @app.get(
        ROUTE, operation_id="addresses", response_model=AddressesView, responses=documented(*KEY, "format")
    )
    async def show_addresses(request: Request, user_id: UserId) -> JSONResponse:
        """Show a person's addresses, masked."""
        people.within_rate(await people.key(request, SCOPE), 1)
        return JSONResponse(await answered(_view, known, user_id))

    @app.put(
        ROUTE,
        operation_id="put_addresses",
        response_model=AddressesKept,
        responses=documented(*KEY, "format", "not_offered", "not_json", "too_large"),
        openapi_extra=body_of(AddressesSaid),
    )
    async def keep_addresses(request: Request, user_id: UserId) -> JSONResponse:
        """Keep a person's addresses of the channels that are named; the next night knows them."""
        wanted = await spoken(people, request, AddressesSaid, MAX_ADDRESSES_BYTES)
        kept = await answered(_kept, known, user_id, wanted, questions.offers)
        waiting = kept.pop("to_confirm")
        return JSONResponse(kept, background=BackgroundTask(_ask, questions, user_id, waiting))


async def _ask(questions: MailQuestions, user: str, waiting: list[Spelling]) -> None:
    await asyncio.gather(*(questions.ask(user, *address) for address in waiting))


def _view(known: PeopleAddresses, user: str) -> dict[str, Any]:
    return {
        "addresses": [
            {
                "channel": each.channel,
                "address": masked(each.channel, each.address),
                "since": moment_of(each.since_us),
                "state": each.state,
                **each.device._asdict(),
            }
            for each in known.standing(user)
        ]
    }


def _kept(
    known: PeopleAddresses, user: str, wanted: AddressesSaid, can_ask: Callable[[str], bool]
) -> dict[str, Any]:
    stated = [
        (channel, AddressOfDevice(address=each) if isinstance(each, str) else each)
        for channel, listed in wanted.addresses.items()
        for each in listed
    ]
    judged = judge_addresses([(channel, each.address) for channel, each in stated])
    kept: dict[str, list[str]] = {channel: [] for channel in wanted.addresses}
    devices: dict[Spelling, Device] = {}
    for (channel, each), (address, reason) in zip(stated, judged, strict=True):
        if reason is not None:
            raise refused("format", f"{channel}: {reason}", "addresses")
        kept[channel].append(address)
        devices[channel, address] = Device(each.app_version, each.permission)
    replaced = known.replace(user, kept, now(), can_ask, devices)
    closed = [{"channel": of, "address": masked(of, address)} for of, address in replaced.still_closed]
    return _view(known, user) | {"still_closed": closed, "to_confirm": replaced.to_confirm}
