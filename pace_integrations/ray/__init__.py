"""Beyond one machine: actors that read and replicas that answer, on one store.

Nothing else in this package imports Ray; it comes with ``pip install 'pace-integrations[ray]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pace_integrations._lazy import offer_names

if TYPE_CHECKING:
    from pace_integrations.ray.reading import ClusterReading, read
    from pace_integrations.ray.serving import deployment

_HOMES = {"ClusterReading": "reading", "deployment": "serving", "read": "reading"}

__all__ = ["ClusterReading", "deployment", "read"]

__getattr__, __dir__ = offer_names(__name__, _HOMES, __all__)
