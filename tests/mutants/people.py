"""Breakages of what protects a person: refusals, signatures, quiet hours, and once only."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PEOPLE = (
    Mutant(
        "a webhook's receiver goes unverified",
        "ssl=self._tls,\n                    limit",
        "ssl=False,\n                    limit",
        ("transport/test_tls.py",),
    ),
    Mutant(
        "a name that leads outside, too, is followed inside",
        "not all(is_public(address)",
        "not any(is_public(address)",
        ("transport/test_safe_http.py",),
    ),
    Mutant(
        "marketing that may have arrived is sent again",
        'if self.column["guarantee"][i] == words.AT_LEAST_ONCE:',
        "if True:",
        ("delivery/test_ambiguity.py",),
    ),
    Mutant(
        "marketing that may have arrived is followed up",
        'pc.or_(pc.equal(mine["outcome"], DEFERRED), pc.equal(facts["guarantee"], AT_LEAST_ONCE))',
        'pc.is_valid(mine["outcome"])',
        ("delivery/test_followups.py",),
    ),
    Mutant(
        "marketing of a lost owner is sent again",
        "if guarantee == words.AT_LEAST_ONCE:\n                self._last[i]",
        "if True:\n                self._last[i]",
        ("delivery/test_first_sight.py",),
    ),
    Mutant(
        "what another manifest sent is sent again",
        "return self.outcome in (OPEN, ACCEPTED) or (",
        "return (",
        ("delivery/test_first_sight.py",),
    ),
    Mutant(
        "quiet hours do not hold at sending",
        "if start is None or guarantee == AT_LEAST_ONCE:",
        "if True:",
        ("delivery/test_clock.py",),
    ),
    Mutant(
        "stops and suppressions are read once only",
        "self._lease_now() - self.read_at <= MAX_AGE_US",
        "True",
        ("users/test_suppressions.py",),
    ),
    Mutant(
        "who refused all channels is written to",
        "if self.refusals.closed(user, channel):",
        "if self.refusals.has_refused(user, channel):",
        ("users/test_suppressions.py",),
    ),
    Mutant(
        "who was suppressed for good may return",
        "return not for_good and at > no and self.closed(user, channel)",
        "return at > no and self.closed(user, channel)",
        ("users/test_suppressions.py",),
    ),
    Mutant(
        "a suppressed person has channels",
        "out = {c for c in have or () if is_closed(user, c)} if refusals else set()",
        "out: set[str] = set()",
        ("users/test_suppressions.py",),
    ),
    Mutant(
        "the plan takes suppressed people",
        "(outcomes.SUPPRESSED, people.is_suppressed[users]),",
        "(outcomes.SUPPRESSED, people.is_suppressed[users] & False),",
        ("planning/test_eligibility.py",),
    ),
    Mutant(
        "anybody may unsubscribe anybody",
        'return dispatch if hmac.compare_digest(wanted, token.encode("utf-8", "replace")) else None',
        "return dispatch",
        ("receive/test_unsubscribing.py",),
    ),
    Mutant(
        "a provider's callback needs no signature",
        "if not reader.is_signed(callback):",
        "if False:",
        ("receive/callbacks/test_twilio.py",),
    ),
    Mutant(
        "an inbox marks messages of others",
        "or dispatch not in theirs:",
        "or False:",
        ("receive/inbox/test_routes.py",),
    ),
    Mutant(
        "a person's token never ends",
        "if 0 < left_s <= LONGEST_S",
        "if left_s <= LONGEST_S",
        ("receive/inbox/test_tokens.py",),
    ),
    Mutant(
        "a mail's question opens the preferences page",
        'f"{purpose}\\x1f{secret}"',
        'f"{secret}"',
        ("receive/preferences/test_routes.py",),
    ),
    Mutant(
        "old signatures count",
        "if not (name and is_time and abs(now - int(stamp)) <= TOLERANCE_S):",
        "if not (name and is_time):",
        ("delivery/test_webhook.py",),
    ),
    Mutant(
        "a tombstone is suppressed from now on only",
        "*[datetime(1970, 1, 1, tzinfo=UTC)] * len(fresh)",
        "*[at] * len(fresh)",
        ("lake/erasing/test_erase.py",),
    ),
    Mutant(
        "fall-over goes to another person's address",
        "if owners.get((channel, same), user) == user:",
        "if True:",
        ("delivery/test_fallover.py",),
    ),
    Mutant(
        "a suppression holds for one spelling of a host",
        "return _hashed(key, channel, same_address(channel, address))",
        "return _hashed(key, channel, address)",
        ("users/test_addresses.py",),
    ),
    Mutant(
        "a host in Unicode may come to an address in digits",
        "if match is None or host is None or _is_number(host):",
        "if match is None or host is None:",
        ("transport/test_safe_http.py",),
    ),
)
