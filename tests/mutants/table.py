"""All breakages, those that harm people first.

A file is found by its code, not by its name.
"""

from __future__ import annotations

from tests.mutants.deciding import DECIDING
from tests.mutants.keeping import KEEPING
from tests.mutants.lately import LATELY
from tests.mutants.mutant import Mutant
from tests.mutants.people import PEOPLE
from tests.mutants.routing import ROUTING
from tests.mutants.sending import SENDING
from tests.mutants.waiting import WAITING

__all__ = ["TABLE", "Mutant"]

TABLE: tuple[Mutant, ...] = (*PEOPLE, *SENDING, *ROUTING, *DECIDING, *WAITING, *KEEPING, *LATELY)
