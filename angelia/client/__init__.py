"""A Python client of the intake, generated from its OpenAPI document.

Enter at `intake_client.py` (`IntakeClient`), which `make docs` writes; `calls.py` carries each request, tries
again where that is safe, and turns refusals into exceptions. Reads and writes nothing but the intake's REST
interface, and knows nothing else of Angelia.
"""

from angelia.client.calls import IntakeRefused, IntakeUnreachable
from angelia.client.intake_client import IntakeClient

__all__ = ["IntakeClient", "IntakeRefused", "IntakeUnreachable"]
