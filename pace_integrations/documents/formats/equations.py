"""Fractions, scripts and roots of equations on one line, whatever markup they came in."""

from __future__ import annotations


def format_fraction(above: str, below: str) -> str:
    """Return a fraction, its parts in parentheses where they are more than a word."""
    return f"{_group(above)}/{_group(below)}"


def format_scripts(base: str, below: str, above: str) -> str:
    """Return a base with what stands below and above it; accents follow their letter."""
    lower = f"_{_group(below)}" if below else ""
    accent = len(above) == 1 and not above.isalnum() and above not in "*+-−∞†"
    upper = above if accent else f"^{_group(above)}" if above else ""
    return f"{base}{lower}{upper}"


def format_root(degree: str, inside: str) -> str:
    """Return a root; one without a degree is square."""
    return f"root{degree}({inside})" if degree else f"sqrt({inside})"


def _group(text: str) -> str:
    return text if len(text) <= 1 or text.isalnum() else f"({text})"
