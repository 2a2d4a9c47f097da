"""A lake whose readers see what gates judged, and no commit that came in since.

Grain: leaf partition. Reads the newest verdicts of the given gates from `quality/{branch}/{ds}`; writes
nothing, and what is written through this lake is numbered as ever. Surprise: a commit that came in after the
gate is not read until the gate has judged it, and this is said, once a dataset; a dataset that was absent
when the gate looked is absent still. So it is with the days before `ds` that the gate noted without measuring
them; days further back are read as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from angelia.errors import GateClosed, NotFound
from angelia.lake import Commit, Lake
from angelia.output import progress
from angelia.quality.covered import days_before, days_for
from angelia.quality.gates import gate_of
from angelia.quality.verdicts import CheckVerdict, load_with_seen, require_open


class JudgedLake(Lake):
    """A lake on one branch, bound to what gates of a day judged."""

    def __init__(
        self,
        lake: Lake,
        ds: str,
        judged: Mapping[str, Sequence[CheckVerdict]],
        seen: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    ) -> None:
        super().__init__(lake.store, lake.branch, lake.clock)
        self._ds = ds
        self._gates: dict[tuple[str, str], str] = {}  # (dataset, day) -> the gate that looks at it
        self._cited: dict[str, str] = {}  # dataset and leaf -> citation of the commit that was judged
        self._noticed: dict[str, object] = {}
        for gate, verdicts in judged.items():
            chosen = gate_of(gate)
            for name in (*chosen.required, *chosen.optional):
                self._gates |= {(name, day): gate for day in days_for(name, ds)}
            for verdict in verdicts:
                for text in verdict.commits if (verdict.dataset, ds) in self._gates else ():
                    self._bind(text, gate)
            beside = (seen or {}).get(gate, {})
            for name in beside.keys() & set(chosen.windows):
                self._gates |= {(name, day): gate for day in days_before(name, ds)}
                for text in beside[name]:
                    self._bind(text, gate)

    def _bind(self, text: str, gate: str) -> None:
        """Let readers see this commit of its partition."""
        leaf = _leaf_of(text)
        self._cited[leaf] = text
        # The gate may have noted days that the settings of now no longer reach.
        name, day = leaf.split("/ds=", 1)
        self._gates[name, day.partition("/")[0]] = gate

    def head(self, name: str, **partition: str) -> Commit | None:
        """Return the commit that was judged, its content compared with what was; see `Lake.head`."""
        text = self._cited.get(_leaf_name(name, self._leaf(name, partition)))
        commit = super().head(name, **partition)
        if text is not None and commit is not None and not commit.erased and commit.citation() != text:
            self.cited(text)  # raises, and says what was cited
        return commit

    def partitions(self, name: str, **prefix: str) -> list[dict[str, str]]:
        """Return the leaf partitions with a commit, less those that came in after their gate."""
        return [leaf for leaf in super().partitions(name, **prefix) if not self._came_since(name, leaf)]

    def _live(self, name: str, leaf: Mapping[str, str]) -> tuple[str, list[int]]:
        branch, numbers = super()._live(name, leaf)
        if self._came_since(name, leaf) and numbers:
            return branch, []
        text = self._cited.get(_leaf_name(name, leaf))
        if text is None:
            return branch, numbers
        ref = text.partition("#")[0]
        head, _, number = ref.rpartition("@")
        origin = head.partition(":")[0] if ":" in head.partition("/")[0] else "main"
        # In a bucket each look is a request, and most of what was judged is what readers see anyway.
        own = numbers if origin == branch else self.numbers(origin, name, leaf)
        gate = self._gates[name, leaf["ds"]]
        if int(number) not in own:
            raise NotFound(
                f"{ref}, which the gate {gate} of {self._ds} judged, has expired",
                fix=f"run `angelia quality check --gate {gate} --ds {self._ds}` again",
            )
        if (branch, numbers[-1:]) != (origin, [int(number)]):
            self._notice(name, leaf, ref, "a newer commit")
        return origin, [n for n in own if n <= int(number)]

    def _came_since(self, name: str, leaf: Mapping[str, str]) -> bool:
        """Say whether a gate looked at this dataset's day, and there was no such partition."""
        is_new = (name, leaf.get("ds", "")) in self._gates and _leaf_name(name, leaf) not in self._cited
        if is_new:
            self._notice(name, leaf, "nothing there", "a commit")
        return is_new

    def _notice(self, name: str, leaf: Mapping[str, str], stood: str, came: str) -> None:
        # A window's days are looked at side by side: whoever notes the dataset first says it.
        mine = object()
        if self._noticed.setdefault(name, mine) is mine:
            gate = self._gates[name, leaf["ds"]]
            verb = "judged" if leaf["ds"] in days_for(name, self._ds) else "noted"
            progress(
                f"{_leaf_name(name, leaf)}: the gate {gate} of {self._ds} {verb} {stood}; {came} came in "
                f"since and is not read; to read it, clear check_{gate} and all after it"
            )


def judged_lake(lake: Lake, ds: str, gates: Sequence[str], *, is_required: bool) -> Lake:
    """Return a lake whose readers see what the gates judged.

    Args:
        lake: the branch that is written; its own verdicts count.
        ds: the closed day.
        gates: those that stand before the job.
        is_required: a gate that was never checked stops the job; else it binds nothing.

    Raises:
        GateClosed: a gate is closed, or was never checked though it is required.
        Corrupt: a verdict cannot be read.
    """
    judged, seen = {}, {}
    for gate in gates:
        verdicts, seen[gate] = load_with_seen(lake, gate, ds)
        require_open(gate, ds, verdicts)
        if verdicts:
            judged[gate] = verdicts
        elif is_required:
            raise GateClosed(
                f"the gate {gate} of {ds} was never checked on branch {lake.branch}",
                fix=f"run `angelia quality check --gate {gate} --ds {ds}`",
            )
    return JudgedLake(lake, ds, judged, seen) if judged else lake


def _leaf_name(name: str, leaf: Mapping[str, str]) -> str:
    return "/".join([name, *(f"{key}={value}" for key, value in leaf.items())])


def _leaf_of(citation: str) -> str:
    """Return dataset and leaf of a citation, without its branch, number and content."""
    head = citation.partition("#")[0].rpartition("@")[0]
    first, _, rest = head.partition("/")
    return f"{first.rpartition(':')[2]}/{rest}"
