"""Metrics of answers and citations; `registry` has all of them by name."""

from __future__ import annotations

from pace_integrations._renamed import keep_renamed

__getattr__ = keep_renamed(__name__)
