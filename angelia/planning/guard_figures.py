"""What the guard measures of a night's plan: volumes, scores, sizes, sampled requests.

Grain: night. Reads decisions, user_features, audience_members and the catalog snapshot; writes nothing. What
    is out of bounds is judged in `guard`.
"""
# ruff: noqa: S608 - the statements are made of names and constants of this module; values travel as parameters.

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from angelia import logs
from angelia.catalog.snapshot import Catalog, load_snapshot
from angelia.errors import InvalidInput
from angelia.lake import Commit, Lake
from angelia.lake.views import open_views
from angelia.planning.limits import ProviderLimits
from angelia.templates.rendering import CompiledTemplate, RowRejected, field_values, user_columns

SAMPLE = 200  # messages built of each campaign


@dataclass(frozen=True)
class NightFigures:
    """What a night's plan looks like; counts and shares only.

    Attributes:
        rendered: messages built of each campaign.
        unrendered: those of them without words, by reason.
        refused: those whose provider would refuse them, by channel and reason.
    """

    messages: Mapping[str, int]
    mean_p_open: Mapping[str, float]
    audiences: Mapping[str, int]
    unknown_timezones_pct: float
    rendered: Mapping[str, int] = field(default_factory=dict)
    unrendered: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    refused: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class PlanCommits:
    """The commits that a night's plan is judged by, each taken once."""

    decisions: Commit
    features: Commit
    members: Commit
    catalog: Catalog

    @classmethod
    def take(cls, lake: Lake, decisions: Commit) -> PlanCommits:
        """Return a plan with the newest commits of what else its night is judged by."""
        ds = decisions.partition["ds"]
        features, members = lake.require("user_features", ds=ds), lake.require("audience_members", ds=ds)
        return cls(decisions, features, members, load_snapshot(lake, ds))

    @property
    def commits(self) -> list[Commit]:
        """The commits, decisions first."""
        catalog = [self.catalog.commit] if self.catalog.commit else []
        return [self.decisions, self.features, *catalog, self.members]


def measure(lake: Lake, plan: PlanCommits) -> NightFigures:
    """Return the figures of a night's plan."""
    decisions, features, catalog = plan.decisions, plan.features, plan.catalog
    with open_views(lake) as views:
        views.add("decisions", [decisions])
        views.add("user_features", [features])
        run = views.connection.execute
        run(
            "CREATE TEMP VIEW sent AS SELECT ordinal, c.* FROM (SELECT ordinal, unnest(choices) "
            "AS c FROM decisions) WHERE c.outcome = 'sent'"
        )
        rows = run("SELECT campaign_id, count(*), avg(p_open) FROM sent GROUP BY 1 ORDER BY 1").fetchall()
        messages, mean_p = {name: n for name, n, _ in rows}, {name: round(mean, 6) for name, _, mean in rows}
        columns = sorted(
            {
                column
                for template in catalog.templates.values()
                for column in user_columns(template.model_dump(mode="json"))
            }
        )
        names = list(dict.fromkeys(["locale", *columns]))
        wanted = ", ".join(f'f."{name}"' for name in names)
        sample = run(
            f"SELECT s.campaign_id, s.material_id, s.channel, {wanted} "
            "FROM sent s JOIN user_features f USING (ordinal) "
            f"QUALIFY row_number() OVER (PARTITION BY s.campaign_id ORDER BY s.message_id) <= {SAMPLE}"
        ).fetchall()
    tried, failed, refused = build(
        catalog, [(*row[:3], dict(zip(names, row[3:], strict=True))) for row in sample]
    )
    read = [commit for commit in plan.commits if commit is not plan.members]  # of those its sizes only
    logs.took((commit.ref, commit.dataset, commit.rows) for commit in read)
    n_users = int(features.meta["n_users"])
    unknown = sum(features.rejects.get(reason, 0) for reason in ("timezone_null", "timezone_unknown"))
    sizes = plan.members.meta["sizes"]
    share = round(100.0 * unknown / n_users, 4) if n_users else 0.0
    return NightFigures(messages, mean_p, dict(sizes), share, tried, failed, refused)


def build(
    catalog: Catalog, sample: Sequence[tuple[str, str, str, Mapping[str, object]]]
) -> tuple[dict[str, int], dict[str, dict[str, int]], dict[str, dict[str, int]]]:
    """Build the request of each sampled message, as the worker would.

    A message is a campaign, material, channel and person.

    Returns: how many were tried, those without words by reason, those that the provider would refuse by
        channel and reason; each by campaign.
    """
    compiled: dict[str, CompiledTemplate] = {}
    limits = ProviderLimits(catalog.channels.values())
    tried: Counter[str] = Counter()
    failed: dict[str, Counter[str]] = {}
    refused: dict[str, Counter[str]] = {}
    for name, material_id, channel, user in sample:
        tried[name] += 1
        material, campaign = catalog.materials.get(material_id), catalog.campaigns.get(name)
        if material is None:
            failed.setdefault(name, Counter())["unknown_material"] += 1
            continue
        document = catalog.templates[material.template].model_dump(mode="json")
        try:
            if material.template not in compiled:
                compiled[material.template] = CompiledTemplate(document)
            locale = user["locale"]
            fields = field_values(document, material.model_dump(mode="json"), name, user)
            words = compiled[material.template].render(locale if isinstance(locale, str) else None, fields)
        # Rendering and the provider's limits are counted apart: another person mends each.
        except RowRejected as error:
            failed.setdefault(name, Counter())[error.reason] += 1
        except InvalidInput:
            failed.setdefault(name, Counter())["template_error"] += 1
        else:
            refusal = limits.refusal(campaign, channel, words) if campaign else None
            if refusal is not None:
                refused.setdefault(name, Counter())[f"{channel}: {refusal.reason}"] += 1
    return dict(tried), _plain(failed), _plain(refused)


def _plain(counts: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    return {name: dict(reasons) for name, reasons in counts.items()}
