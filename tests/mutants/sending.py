"""Breakages of what leaves the house: connections, workers, the ledger."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_TLS = '    context.minimum_version = ssl.TLSVersion.TLSv1_2\n    context.set_alpn_protocols(["h2"])'
_CLIENTS = ("transport/test_tls.py",)
_LATER = ("delivery/test_ambiguity.py",)
_OWNERS = ("delivery/test_part.py",)

SENDING = (
    # ---- canaries
    Mutant(
        "a canary is passed by a night of another date",
        'if entry["night"] == ds',
        "if ds",
        ("delivery/canary/test_choices.py",),
    ),
    Mutant(
        "a canary's bound is broken at the bound",
        "if 100.0 * number <= most_pct * of:",
        "if 100.0 * number < most_pct * of:",
        ("delivery/canary/test_verdict.py",),
    ),
    Mutant(
        "a failed canary goes on itself",
        "if goes_first and state != FAILED else",
        "if goes_first else",
        ("delivery/canary/test_gate.py",),
    ),
    # ---- connections
    Mutant("mail goes without STARTTLS", "connection.starttls(context=self._tls)", "pass", _CLIENTS),
    Mutant(
        "STARTTLS verifies nobody",
        "connection.starttls(context=self._tls)",
        "connection.starttls()",
        _CLIENTS,
    ),
    Mutant(
        "smtps verifies nobody",
        "timeout=self._timeout_s, context=self._tls\n",
        "timeout=self._timeout_s\n",
        _CLIENTS,
    ),
    Mutant(
        "TLS verification is off",
        _TLS,
        "    context.check_hostname = False\n    context.verify_mode = ssl.CERT_NONE\n" + _TLS,
        _CLIENTS,
    ),
    Mutant("host names go unchecked", _TLS, "    context.check_hostname = False\n" + _TLS, _CLIENTS),
    # ---- other workers
    Mutant(
        "another worker's intent is ignored",
        "return  # another worker owns this batch",
        "pass",
        _OWNERS,
    ),
    Mutant(
        "the fence is never checked",
        "return self.newest_epoch(claim.part) != claim.epoch",
        "return False",
        _OWNERS,
    ),
    Mutant(
        "intents' batch size is ignored",
        "size = standing[0].size\n",
        "size = size or standing[0].size\n",
        _OWNERS,
    ),
    Mutant(
        "the owner's last request is not waited for",
        "until = intent.deadline + int(self.work.request_timeout_s * 1e6)",
        "until = intent.deadline",
        _OWNERS,
    ),
    Mutant(
        "a part is taken from a holder that was heard of",
        "elif lease != first:",
        "elif False:",
        ("delivery/test_takeover.py",),
    ),
    Mutant(
        "a retry leaves the part to the dead",
        "waits = self.options.wait_for_lease and not",
        "waits = False and not",
        ("delivery/test_takeover.py",),
    ),
    Mutant(
        "a zombie counts as alive",
        'return None if fields[0] in ("Z", "X") else fields[19]',
        "return fields[19]",
        ("delivery/test_ledger.py",),
    ),
    # ---- what may have arrived
    Mutant(
        "resend puts up ambiguous rows",
        "LACKING = frozenset({SKIPPED, DEFERRED})",
        'LACKING = frozenset({SKIPPED, DEFERRED, "ambiguous"})',
        ("delivery/test_resend.py",),
    ),
    Mutant(
        "a later reject hides that it may have arrived",
        "known[0] == words.AMBIGUOUS or is_deferred",
        "known[0] == words.AMBIGUOUS and outcome != words.REJECTED or is_deferred",
        _LATER,
    ),
    Mutant(
        "a later skip hides that it may have arrived",
        "is_better and outcome != words.AMBIGUOUS:",
        "is_better and outcome not in (words.AMBIGUOUS, words.SKIPPED):",
        _LATER,
    ),
    Mutant(
        "a later deferral hides that it may have arrived",
        "if not self._may_have_arrived(i):\n            self._last[i]",
        "if True:\n            self._last[i]",
        _LATER,
    ),
    Mutant(
        "a later halt hides that it may have arrived",
        "self._last.setdefault(i, (words.DEFERRED, reason))",
        "self._last[i] = (words.DEFERRED, reason)",
        _LATER,
    ),
    Mutant(
        "a changed payload hides that it may have arrived",
        "words.AMBIGUOUS if is_ambiguous else words.REJECTED, PAYLOAD_CHANGED",
        "words.REJECTED, PAYLOAD_CHANGED",
        _LATER,
    ),
    Mutant(
        "deferred ranks over ambiguous",
        "AMBIGUOUS: 4, REJECTED: 3, SKIPPED: 2, DEFERRED: 1}",
        "AMBIGUOUS: 1, REJECTED: 3, SKIPPED: 2, DEFERRED: 4}",
        ("delivery/test_outcomes.py",),
    ),
    Mutant(
        "a refused follow-up ranks over ambiguous",
        "ACCEPTED: 5, AMBIGUOUS: 4, REJECTED: 3,",
        "ACCEPTED: 5, AMBIGUOUS: 3, REJECTED: 4,",
        ("delivery/test_outcomes.py",),
    ),
    Mutant(
        "a late refusal explains any ambiguous row",
        'pc.equal(standing["outcome"], AMBIGUOUS), pc.equal(standing["n_attempts"], 0)',
        'pc.equal(standing["outcome"], AMBIGUOUS), pc.is_valid(standing["n_attempts"])',
        ("delivery/test_compaction.py",),
    ),
    # ---- pace, tries, windows
    Mutant(
        "--slots does not divide the quota",
        "config.quota_per_minute / options.slots",
        "config.quota_per_minute",
        ("delivery/test_senders.py",),
    ),
    Mutant(
        "what was drawn long ago goes back",
        "max(0, self._drawn) if wall < self._full_at else 0",
        "max(0, self._drawn)",
        ("delivery/test_shared_pace.py",),
    ),
    Mutant(
        "what is drawn may be used at any time",
        "self._drawn > 0 and 0 <= now - self._drawn_at < _HOLD_US",
        "self._drawn > 0",
        ("delivery/test_shared_pace.py",),
    ),
    Mutant(
        "one try too many",
        "if self.out.attempts[i] >= self.work.max_attempts:",
        "if self.out.attempts[i] > self.work.max_attempts:",
        _LATER,
    ),
    Mutant(
        "a follow-up ignores its window",
        'goes_on = pc.and_(is_unsent, pc.greater(facts["not_after"].cast("int64"), now))',
        "goes_on = is_unsent",
        ("delivery/test_followups.py",),
    ),
    Mutant(
        "bodies of callbacks fill the memory",
        "if part and self._held > MAX_HELD:",
        "if False:",
        ("receive/test_protocol.py",),
    ),
    # ---- objects of the ledger
    Mutant(
        "a document's checksum is not compared",
        "if data[:_SEAL_BYTES] != _seal(body):",
        "if False:",
        ("delivery/test_objects.py",),
    ),
    Mutant(
        "an outcome object's checksum is not compared",
        "if mark != _MARK or hashlib.sha256(body).digest() != digest:",
        "if mark != _MARK:",
        ("delivery/test_objects.py",),
    ),
)
