"""Airflow's pools: how many tasks share a provider's quota, or the cluster."""

from __future__ import annotations

from typing import Any

from angelia.contracts.sending import PLAN_LIFE_DAYS
from angelia.contracts.sources import CHANNELS, OTHER


def airflow_pools(delivery_slots: int, spark_slots: int = 1) -> dict[str, dict[str, Any]]:
    """Return every pool that the DAGs name, as `airflow pools import` reads them.

    Args:
        delivery_slots: delivery workers of one channel at a time; each sends at quota / slots.
        spark_slots: Spark jobs at a time.
    """
    return (
        {
            "spark": _pool(spark_slots, "Spark jobs at a time"),
            "plan": _pool(1, "One plan at a time: caps count the plan before"),
        }
        | {
            f"deliver_{channel}": _pool(
                delivery_slots, f"Delivery workers of {channel}; each sends at quota / slots"
            )
            for channel in CHANNELS
            # There a channel has a worker for each plan that is still sent: it never fills the pool, and so
            # a storm at its provider leaves slots to the others.
        }
        | {
            f"deliver_{OTHER}": _pool(
                PLAN_LIFE_DAYS + delivery_slots,
                "Delivery workers of the other channels; one a channel and plan",
            )
        }
    )


def _pool(slots: int, description: str) -> dict[str, Any]:
    return {"slots": slots, "description": description, "include_deferred": False}
