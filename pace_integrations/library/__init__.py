"""The library: documents of any number, every page read once, asked like one session.

Names are resolved when they are first used, so that listing a library loads no PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pace_integrations._lazy import offer_names

if TYPE_CHECKING:
    from pace_integrations.library.ask_settings import AskSettings
    from pace_integrations.library.blocks import Block, SearchView
    from pace_integrations.library.changes import LibraryChange
    from pace_integrations.library.choice import Budget, Choice, ScoredBlock, Selector
    from pace_integrations.library.config import LibraryConfig, LibraryStats
    from pace_integrations.library.head_calibration import HeadCalibration, calibrate_heads
    from pace_integrations.library.library import Library
    from pace_integrations.library.profile import ReadingProfile
    from pace_integrations.library.selectors import SELECTORS, PagesSelector

_HOMES = {
    "SELECTORS": "selectors",
    "AskSettings": "ask_settings",
    "Block": "blocks",
    "Budget": "choice",
    "Choice": "choice",
    "Library": "library",
    "HeadCalibration": "head_calibration",
    "LibraryChange": "changes",
    "LibraryConfig": "config",
    "LibraryStats": "config",
    "PagesSelector": "selectors",
    "ReadingProfile": "profile",
    "ScoredBlock": "choice",
    "SearchView": "blocks",
    "Selector": "choice",
    "calibrate_heads": "head_calibration",
}

__all__ = [
    "SELECTORS",
    "AskSettings",
    "Block",
    "Budget",
    "Choice",
    "HeadCalibration",
    "Library",
    "LibraryChange",
    "LibraryConfig",
    "LibraryStats",
    "PagesSelector",
    "ReadingProfile",
    "ScoredBlock",
    "SearchView",
    "Selector",
    "calibrate_heads",
]

__getattr__, __dir__ = offer_names(__name__, _HOMES, __all__)
