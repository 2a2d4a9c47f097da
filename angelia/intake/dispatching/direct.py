"""Templates that clients send without a campaign, as campaigns of one template.

Grain: template. Pure; reads and writes nothing. The catalog's `direct` says that a template may go by itself,
under which topic, and whether it is owed; from there all rules of campaigns hold. Surprise: no night plans
these campaigns, since they are in no snapshot; they exist for a dispatcher alone.
"""

from __future__ import annotations

import json
from dataclasses import replace

from angelia.catalog.documents import Campaign, Material, Template
from angelia.catalog.snapshot import Catalog
from angelia.contracts.ids import direct_campaign, direct_template
from angelia.contracts.outcomes import AT_LEAST_ONCE

UNKNOWN_TEMPLATE, NOT_DIRECT, OTHER_CLASS = "unknown_template", "template_not_direct", "other_class"
_ALWAYS = {"start_date": "2000-01-01", "end_date": "2099-12-31"}


def with_direct(catalog: Catalog) -> Catalog:
    """Return a catalog that has a campaign and a material for each template that says `direct`."""
    campaigns, materials = dict(catalog.campaigns), dict(catalog.materials)
    for template in catalog.templates.values():
        if template.direct is None:
            continue
        name = direct_campaign(template.id, _class(template))
        materials[name] = Material(id=name, template=template.id)
        fields = {
            **_ALWAYS,
            "id": name,
            "name": template.id,
            "topic": template.direct.topic,
            "owner": "intake",
            "audience": "everyone",  # asked of nobody: the client names the person
            "materials": [name],
            "channels": template.channels,
            "guarantee": template.direct.guarantee,
            "value_per_open": 0,
            "occurrence": {"every": "daily"},
            "ttl_hours": template.direct.ttl_hours,
        }
        # The name itself is refused in documents of operators, which the model's own check keeps.
        checked = Campaign.model_validate_json(json.dumps({**fields, "id": "direct"}))
        campaigns[name] = checked.model_copy(update={"id": name})
    return replace(catalog, campaigns=campaigns, materials=materials)


def why_no_campaign(catalog: Catalog, campaign_id: str) -> str | None:
    """Return why a template cannot be sent by itself, None if the campaign is an operator's."""
    name = direct_template(campaign_id)
    if name is None:
        return None
    template = catalog.templates.get(name)
    if template is None:
        return UNKNOWN_TEMPLATE
    return NOT_DIRECT if template.direct is None else OTHER_CLASS


def _class(template: Template) -> str:
    is_owed = template.direct is not None and template.direct.guarantee == AT_LEAST_ONCE
    return "transactional" if is_owed else "marketing"
