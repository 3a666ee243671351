"""Calibration."""

from __future__ import annotations

from pace_integrations._renamed import keep_renamed

__getattr__ = keep_renamed(__name__)
