"""What the faces' tests ask of the house's papers."""

from __future__ import annotations

from pace_integrations import GenerationConfig

PAGES = ("The gate opens at 7:30.", "Bread on Mondays.")
QUESTION = "When does the gate open?"
SHORT = GenerationConfig(max_new_tokens=16)
