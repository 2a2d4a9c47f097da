"""What to type: a command's words, and its example for the sample's night."""

from __future__ import annotations

from types import MappingProxyType

_LINES = """
why --user u0000001 --campaign price_drop
bootstrap --ds 2026-11-14
rehearse --version 20261114T021500-1a2b3c4d
import profiles.csv events.csv --mapping mapping.yaml --dry-run
deliver --ds 2026-11-14 --send-hour 2026-11-15T09
sandbox --state-dir sandbox --ready-file sandbox.json
receive --port 8090 --fold-seconds 30
report --ds 2026-11-14
loop --users 2000 --days 28
doctor
world create --users 2000 --days 28 --ds 2026-11-14
world respond --ds 2026-11-14
catalog canary win_back --pass --reason "opens are as usual"
catalog apply campaigns/ --dry-run
catalog list campaign
catalog show campaign price_drop
catalog stop price_drop --channel fcm --reason "wrong price"
catalog resume price_drop --reason "the price is right again"
catalog preview --campaign win_back --user u0000001
catalog snapshot --ds 2026-11-14
catalog pools --spark-slots 2
audience count "country = 'CN' AND days_since('purchase') > 14"
audience explain "country = 'CN' AND days_since('purchase') > 14"
audience breakdown regulars --by country
audience overlap regulars cart_leavers
audience export regulars regulars.csv
audience list vip vip.csv
audience import-ldap staff --mapping directory.yaml
audience save frequent_buyers "count_events('purchase', 28) >= 3" --description "buy often"
audience lookalike like_buyers --seed recent_buyers --size 5000
plan show --ds 2026-11-14
plan guard --ds 2026-11-14
plan replay --from 2026-11-14 --to 2026-11-14 --changes '{"price_drop": {"value_per_open": 0.08}}'
plan compare --ds 2026-11-14 --branch replay-notebook-new
plan whatif --ds 2026-11-14 --set caps.user_per_day=1 --set capacity.fcm.20=0
timing show --user u0000001 --ds 2026-11-14
intake serve --port 8091
intake dispatch --once
intake triggers
intake export
intake expire --older-than 400
intake keys make --client shop --scope write --scope read --per-second 100
intake keys list
intake keys revoke 1a2b3c4d
ledger status --ds 2026-11-14
ledger due --now 2026-11-15T04:30:00Z
ledger release --ds 2026-11-14 --send-hour 2026-11-15T09 --yes
ledger resend --campaigns price_drop,win_back --from 2026-11-14 --to 2026-11-14
quality check --gate features --ds 2026-11-14
quality rows --gate sources --check user_profiles.timezone.max_null --ds 2026-11-14
quality show --ds 2026-11-14
quality report --days 14
quality docs --days 7
lake log user_events --partition ds=2026-11-14
lake show user_events/ds=2026-11-14@1
lake verify --dataset decisions
lake expire --older-than 7 --dry-run
lake erase --user u0000001
effects over --from 2026-11-14 --to 2026-11-14
effects power --from 2026-11-14 --to 2026-11-14 --effect-pct 5
effects mart --from 2026-11-14 --to 2026-11-14
effects figures --from 2026-11-14 --to 2026-11-14 --by campaign_id,side
effects export --from 2026-11-14 --to 2026-11-14 --by night,channel --out figures.csv
effects series --from 2026-11-14 --to 2026-11-14
effects experiment --name checkout_button --control old --to 2026-11-14
effects uplift --from 2026-11-14 --to 2026-11-14 --scope holdout_probe
effects drift --ds 2026-11-14 --against 2026-11-13
"""


def _named(line: str) -> tuple[str, str]:
    """Return the words of a line's command, without arguments, and the line as it is typed."""
    groups = (
        "world",
        "catalog",
        "audience",
        "plan",
        "timing",
        "intake",
        "ledger",
        "quality",
        "lake",
        "effects",
    )
    words = line.split()
    n = 3 if words[:2] == ["intake", "keys"] else 2 if words[0] in groups else 1
    return " ".join(words[:n]), f"angelia {line}"


EXAMPLES = MappingProxyType(dict(_named(line) for line in _LINES.strip().splitlines()))
