"""The library: documents of any number, every page read once, asked like one session."""

from __future__ import annotations

from pace_integrations.library.blocks import Block, SearchView
from pace_integrations.library.changes import LibraryChange
from pace_integrations.library.choice import Budget, Choice, ScoredBlock, Selector
from pace_integrations.library.config import LibraryConfig, LibraryStats
from pace_integrations.library.library import Library
from pace_integrations.library.profile import ReadingProfile
from pace_integrations.library.selectors import SELECTORS, PagesSelector

__all__ = [
    "SELECTORS",
    "Block",
    "Budget",
    "Choice",
    "Library",
    "LibraryChange",
    "LibraryConfig",
    "LibraryStats",
    "PagesSelector",
    "ReadingProfile",
    "ScoredBlock",
    "SearchView",
    "Selector",
]
