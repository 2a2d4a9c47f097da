"""Invariants between rows and between datasets, beyond each contract, as SQL.

Each query selects the rows that break its invariant. Grain: one invariant = one check of a gate. Reads views
named as datasets, plus `choices` (decisions, one row per considered campaign) and `campaigns` (campaign_id,
topic, is_transactional of the night's snapshot). Parameters: `$plan_start`, `$plan_end`, `$outcomes`,
`$index_users`.
"""
# ruff: noqa: S608 - made of names and constants of this module; values travel as parameters.

from __future__ import annotations

from dataclasses import dataclass

from angelia.contracts.constraints import Constraint, Kind
from angelia.contracts.core import Severity


@dataclass(frozen=True)
class Invariant:
    """One check, as the SQL that selects the breaking rows.

    `of` is the dataset or view whose rows are 100 %; `needs` are the datasets that it reads.
    """

    name: str
    dataset: str
    column: str | None
    breach: str
    sql: str
    needs: tuple[str, ...]
    of: str
    severity: Severity = Severity.CRITICAL

    @property
    def constraint(self) -> Constraint:
        """Return it as a constraint that tolerates nothing, for the expectation."""
        return Constraint(self.name, Kind.RULE, (), 0.0, self.severity, self.breach)


def _known(name: str) -> Invariant:
    return Invariant(
        f"{name}.ordinal.in_index", name, "ordinal", "ordinal that the user index does not hold",
        f"SELECT * FROM {name} WHERE ordinal NOT IN (SELECT ordinal FROM user_index)",
        (name, "user_index"), name,
    )  # fmt: skip


FEATURES = (
    _known("user_features"),
    Invariant(
        "user_features.ordinal.complete", "user_features", "ordinal", ("user of the index it was built from "
        "without a row"),
        ("SELECT user_id, ordinal FROM user_index WHERE ordinal < $index_users AND ordinal NOT IN "
        "(SELECT ordinal FROM user_features)"),
        ("user_features", "user_index"), "user_index",
    ),
    Invariant(
        "user_features.user_id.same_user", "user_features", "user_id", ("another user id than the "
        "index gives "
        "this ordinal"),
        ("SELECT f.user_id, f.ordinal FROM user_features f JOIN user_index i USING (ordinal) WHERE "
        "f.user_id <> i.user_id"),
        ("user_features", "user_index"), "user_features",
    ),
    Invariant(
        "send_times.ordinal.complete", "send_times", "ordinal", "user with features but no response curve",
        "SELECT user_id, ordinal FROM user_features WHERE ordinal NOT IN (SELECT ordinal FROM send_times)",
        ("user_features", "send_times"), "user_features",
    ),
    _known("send_times"),
    _known("user_days"),
)  # fmt: skip

_MARKETING = "coalesce(NOT c.is_transactional, TRUE)"
PLAN = (
    Invariant(
        "decisions.outcome.allowed", "decisions", "choices", "outcome that no decision has",
        "SELECT * FROM choices WHERE outcome IS NULL OR outcome NOT IN (SELECT unnest($outcomes))",
        ("decisions",), "choices",
    ),
    Invariant(
        "decisions.sent.complete", "decisions", "choices", ("sent without campaign, message id, material, "
        "channel, slot or a "
        "probability"),
        "SELECT * FROM choices WHERE outcome = 'sent' AND (campaign_id IS NULL OR message_id IS "
        "NULL OR material_id IS NULL OR channel IS NULL "
        "OR slot IS NULL OR p_open IS NULL OR NOT (p_open BETWEEN 0 AND 1))",
        ("decisions",), "choices",
    ),
    Invariant(
        "decisions.sent.once_per_message", "decisions", "choices", "message id sent more than once",
        "SELECT * FROM choices WHERE outcome = 'sent' QUALIFY count(*) OVER (PARTITION BY message_id) > 1",
        ("decisions",), "choices",
    ),
    Invariant(
        "decisions.sent.in_plan", "decisions", "choices", "slot outside the plan's 24 hours",
        "SELECT * FROM choices WHERE outcome = 'sent' AND NOT (slot >= $plan_start AND slot < $plan_end)",
        ("decisions",), "choices",
    ),
    Invariant(
        "decisions.sent.not_held_out", "decisions", "choices", ("marketing sent to a user in the "
        "global holdout"),
        ("SELECT s.* FROM choices s LEFT JOIN campaigns c USING (campaign_id) WHERE s.outcome = "
        "'sent' AND ") + _MARKETING +
        " AND s.ordinal IN (SELECT ordinal FROM choices WHERE outcome = 'holdout_global')",
        ("decisions", "catalog_snapshot"), "choices",
    ),
    Invariant(
        "decisions.sent.not_refused", "decisions", "choices", ("sent although the same campaign "
        "was held out, "
        "refused or "
        "suppressed "
        "for this user"),
        "SELECT * FROM choices WHERE outcome = 'sent' AND (ordinal, campaign_id) IN (SELECT "
        "(ordinal, campaign_id) FROM choices "
        "WHERE outcome IN ('holdout_global', 'holdout_campaign', 'opted_out', 'suppressed'))",
        ("decisions",), "choices",
    ),
    Invariant(
        "decisions.sent.not_suppressed", "decisions", "choices", "sent to a user who is suppressed",
        ("SELECT s.* FROM choices s JOIN user_features f USING (ordinal) WHERE s.outcome = 'sent' "
        "AND f.is_suppressed"),
        ("decisions", "user_features"), "choices",
    ),
    Invariant(
        "decisions.sent.not_opted_out", "decisions", "choices", "sent about a topic the user refused",
        "SELECT s.* FROM choices s JOIN campaigns c USING (campaign_id) JOIN user_features f USING (ordinal) "
        "WHERE s.outcome = 'sent' AND list_contains(f.opted_out_topics, c.topic)",
        ("decisions", "user_features", "catalog_snapshot"), "choices",
    ),
    Invariant(
        "decisions.sent.reachable", "decisions", "choices", ("sent through a channel the user has no address "
        "for or refused"),
        ("SELECT s.* FROM choices s JOIN user_features f USING (ordinal) WHERE s.outcome = 'sent' "
        "AND NOT list_contains(f.channels, s.channel)"),
        ("decisions", "user_features"), "choices",
    ),
    Invariant(
        "decisions.sent.known_campaign", "decisions", "choices", ("sent for a campaign that the "
        "night's catalog "
        "does not hold"),
        ("SELECT s.* FROM choices s WHERE s.outcome = 'sent' AND s.campaign_id NOT IN (SELECT "
        "campaign_id FROM campaigns)"),
        ("decisions", "catalog_snapshot"), "choices",
    ),
    Invariant(
        "decisions.sent.any", "decisions", None, "no message planned at all",
        "SELECT count(*) AS n_sent FROM choices WHERE outcome = 'sent' HAVING count(*) = 0",
        ("decisions",), "choices",
    ),
)  # fmt: skip
