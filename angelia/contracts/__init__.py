"""Every dataset declared once; schemas, checks, documents and test rows are derived.

Public face: `CONTRACTS` (name -> Dataset), `dataset(name)`, `Column`, `Dataset`, `Severity`. Translators live
beside it, one per engine: `contracts.arrow`, `contracts.spark`, `contracts.duckdb`, `contracts.gx`,
`contracts.markdown`; ids and draws in `contracts.ids`.
"""

from angelia.contracts.core import Column, Dataset, Severity
from angelia.contracts.derived import DERIVED
from angelia.contracts.devices.endpoints import OF_DEVICES
from angelia.contracts.planned.pairs import OF_PLANS
from angelia.contracts.sources import SOURCES
from angelia.errors import NotFound

CONTRACTS: dict[str, Dataset] = {
    contract.name: contract for contract in (*SOURCES, *OF_DEVICES, *DERIVED, *OF_PLANS)
}


def dataset(name: str) -> Dataset:
    """Return the contract of a dataset.

    Raises:
        NotFound: no dataset has this name; the nearest names are offered.
    """
    import difflib

    if name not in CONTRACTS:
        near = difflib.get_close_matches(name, CONTRACTS, n=3)
        raise NotFound(
            f"no dataset {name!r}", fix=f"did you mean {', '.join(near) or 'one of ' + ', '.join(CONTRACTS)}?"
        )
    return CONTRACTS[name]


__all__ = ["CONTRACTS", "Column", "Dataset", "Severity", "dataset"]
