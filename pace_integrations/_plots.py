"""Figures off screen, whatever the user's backend. The one place that makes a matplotlib figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pace_integrations.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def make_figure(width: float, height: float, *, purpose: str = "drawing") -> Figure:
    """Make an empty figure that no window shows; `savefig` writes it.

    Args:
        width: Width in inches.
        height: Height in inches.
        purpose: What needs it, for the message where matplotlib is not installed.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(purpose, "eval") from error
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
