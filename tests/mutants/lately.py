"""Breakages of rooms that came later: intake, console, effects, habits, providers."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_KEYS = ("intake/test_keys.py",)
_SEQUENCES = ("effects/test_sequences.py",)
_ADMISSION = ("planning/test_admit.py",)
_HABITS = ("timing/test_habits.py",)
_WEBPUSH = ("delivery/channels/test_webpush.py",)
_BEFORE = ("quality/test_judged.py",)
_ROLES = ("console/test_access.py",)

LATELY = (
    # ---- intake
    Mutant(
        "any secret opens the intake",
        "return key if key is not None and hmac.compare_digest(key.secret_hash, _hash(secret)) else None",
        "return key",
        _KEYS,
    ),
    Mutant(
        "a revoked key opens the intake",
        "where(keys.c.key_id == form[1], keys.c.revoked_us == 0)",
        "where(keys.c.key_id == form[1])",
        _KEYS,
    ),
    Mutant(
        "a bucket fills without end",
        "left = min(float(key.per_second), left + (now_s - at) * key.per_second)",
        "left = left + (now_s - at) * key.per_second",
        _KEYS,
    ),
    # ---- console
    Mutant(
        "who may not look may act",
        "return self.roles.issuperset({Role.VIEWER, *roles})",
        "return self.roles.issuperset(roles)",
        _ROLES,
    ),
    # ---- effects
    Mutant(
        "an interval is as narrow at every look",
        "np.sqrt((1.0 + eta / t) * (np.log1p(t / eta) - 2.0 * np.log(level)))",
        "np.sqrt(-2.0 * np.log(level) + 0.0 * t)",
        _SEQUENCES,
    ),
    Mutant(
        "the clock counts looks, not what they tell",
        "np.clip(np.asarray(correlations, np.float64), _LEAST_CORRELATION, 1.0) ** -2.0",
        "np.clip(np.asarray(correlations, np.float64), _LEAST_CORRELATION, 1.0) ** 0.0 + 1.0",
        _SEQUENCES,
    ),
    Mutant(
        "history adjusts one side only",
        "(_slope(treated), _slope(holdout)) if adjusted",
        "(_slope(treated), 0 * holdout.n) if adjusted",
        ("effects/test_adjusting.py",),
    ),
    # ---- admission by regret
    Mutant(
        "the lowest ranks are admitted first",
        "for place in sorted(by_rank, reverse=True):",
        "for place in sorted(by_rank):",
        _ADMISSION,
    ),
    Mutant(
        "what a message could have instead counts for nothing",
        "return rows, np.maximum(net - np.maximum(rest, 0), 0)",
        "return rows, np.maximum(net, 0)",
        _ADMISSION,
    ),
    # ---- habits
    Mutant(
        "smoothing does not go around the clock",
        "np.minimum(np.arange(HOURS), HOURS - np.arange(HOURS))",
        "np.arange(HOURS)",
        _HABITS,
    ),
    Mutant(
        "the clusters of everywhere stand for each timezone",
        "by_zone = (members + ZONE_PEOPLE * share[order]) / (people + ZONE_PEOPLE)",
        "by_zone = 0.0 * members / (people + 1) + share[order]",
        _HABITS,
    ),
    # ---- providers
    Mutant(
        "a push service of any host is called",
        'if not any(host == name or host.endswith(f".{name}") for name in self._hosts):',
        "if False:",
        _WEBPUSH,
    ),
    Mutant(
        "a host that ends alike is a push service",
        'any(host == name or host.endswith(f".{name}") for name in self._hosts)',
        "any(host.endswith(name) for name in self._hosts)",
        _WEBPUSH,
    ),
    Mutant(
        "an address may be several receivers",
        'if not address.strip() or "," in address:',
        "if not address.strip():",
        ("delivery/channels/test_base.py",),
    ),
    # ---- days before, which a gate notes
    Mutant(
        "a day before that came in after its gate is read",
        "for text in beside[name]:",
        "for text in ():",
        _BEFORE,
    ),
    Mutant(
        "a closed day before counts as passed",
        'if any(verdict.blocks for verdict in own):\n        return "closed"',
        'if False:\n        return "closed"',
        _BEFORE,
    ),
    Mutant(
        "the plan's gate may have read another catalog",
        "for commit in others if seen else ():",
        "for commit in ():",
        ("planning/test_verdict.py",),
    ),
)
