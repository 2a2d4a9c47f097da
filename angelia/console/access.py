"""Who is asking, and what they may do: three roles, asked of Airflow's auth manager.

The roles are put in terms of our DAGs.

A mounted application inherits no authentication, so every route asks here. A viewer may read the nightly
DAG, an operator may trigger `campaign_backfill`, an approver may answer the night's questions. Every auth
manager answers these; views of plugins it may not tell apart. Surprise: Airflow's simple auth manager gives
its role USER both of the latter; other auth managers separate them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

NIGHT, BACKFILL = "nightly_personalization", "campaign_backfill"


class Role(StrEnum):
    """What a page or an action asks of a person."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"


NEEDED = {
    Role.VIEWER: f"read the DAG {NIGHT}",
    Role.OPERATOR: f"trigger the DAG {BACKFILL}",
    Role.APPROVER: f"answer the required actions of the DAG {NIGHT}",
}


@dataclass(frozen=True)
class Visitor:
    """A person whom Airflow knows."""

    name: str
    roles: frozenset[Role]

    def may(self, *roles: Role) -> bool:
        """Return whether the person has all these roles; whoever may not look may do nothing."""
        return self.roles.issuperset({Role.VIEWER, *roles})


class VisitorAccess(Protocol):
    """Where visitors come from."""

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who is asking; None if nobody is logged in."""


class NotLoggedIn(Exception):
    """Nobody is logged in, or the session has ended."""


class Forbidden(Exception):
    """The person lacks a role."""

    def __init__(self, role: Role) -> None:
        super().__init__(role.value)
        self.role = role


class AirflowAccess:
    """Asks the auth manager of the API server that this runs in."""

    async def visitor(self, request: Request) -> Visitor | None:
        """Return the user of the request's Bearer header, else of Airflow's own cookie."""
        from airflow.api_fastapi.core_api.security import bearer_scheme, get_user
        from fastapi import HTTPException

        try:
            user = await get_user(request, None, await bearer_scheme(request))
        except HTTPException:
            return None
        # An auth manager may ask a database or another server.
        return await run_in_threadpool(_as_visitor, user)


def _as_visitor(user: Any) -> Visitor:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
    from airflow.configuration import conf
    from airflow.models.dag import DagModel

    manager, with_teams = get_auth_manager(), conf.getboolean("core", "multi_team", fallback=False)
    asked = {
        Role.VIEWER: ("GET", None, NIGHT),
        Role.OPERATOR: ("POST", DagAccessEntity.RUN, BACKFILL),
        Role.APPROVER: ("PUT", DagAccessEntity.HITL_DETAIL, NIGHT),
    }
    roles = set()
    for role, (method, entity, dag) in asked.items():
        details = DagDetails(id=dag, team_name=DagModel.get_team_name(dag) if with_teams else None)
        if manager.is_authorized_dag(method=method, access_entity=entity, details=details, user=user):
            roles.add(role)
    return Visitor(str(user.get_name()), frozenset(roles))
