"""Pictures of a run: heat maps of length and depth, scores against length and position.

Needs the ``eval`` extra, and no display.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pace_integrations._plots import make_figure
from pace_integrations.evaluation.statistics import Record, bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cells = Mapping[tuple[float, float], float]


def draw_figures(records: Sequence[Record], folder: Path) -> list[tuple[str, str]]:
    """Draw what the records allow.

    Args:
        records: Records of a run.
        folder: Where the PNG files go.

    Returns:
        Name of each file and what it shows.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = partial(make_figure, purpose="drawing the report")
    drawn = []
    for task in dict.fromkeys(r["task"] for r in records):
        own = [r for r in records if r["task"] == task]
        for kind, about, paint in _PICTURES:
            if _is_drawable(own, kind):
                name = f"{task}-{kind}.png"
                painted = paint(figure, own)
                painted.savefig(folder / name)
                drawn.append((name, about.format(task=task)))
    return drawn


def average_by_cell(records: Iterable[Record]) -> dict[tuple[float, float], float]:
    """Return the mean score by length and position, which every record has."""
    found: dict[tuple[float, float], list[float]] = defaultdict(list)
    for record in records:
        found[record["length"], record["position"]].append(float(record["score"]))
    return {cell: sum(scores) / len(scores) for cell, scores in found.items()}


def _is_drawable(records: Sequence[Record], kind: str) -> bool:
    lengths = {r["length"] for r in records}
    positions = {r["position"] for r in records}
    placed = None not in positions and 1 < len(positions) <= 20
    if kind == "length":
        return None not in lengths and len(lengths) > 1
    return placed if kind == "position" else placed and None not in lengths


def _draw_heatmap(figure: Callable[[float, float], Figure], records: Sequence[Record]) -> Figure:
    arms = list(dict.fromkeys(r["arm"] for r in records))
    columns = min(len(arms), 3)
    rows = -(-len(arms) // columns)
    drawn = figure(1.5 + 3.2 * columns, 0.8 + 2.8 * rows)
    axes = drawn.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    lengths = sorted({r["length"] for r in records})
    depths = sorted({r["position"] for r in records})
    image: Any = None
    for place, ax in enumerate(axes.flat):
        if place >= len(arms):
            ax.axis("off")
            continue
        cells = average_by_cell(r for r in records if r["arm"] == arms[place])
        values = [[cells.get((n, d), float("nan")) for n in lengths] for d in depths]
        image = ax.imshow(values, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto")
        ax.set_title(arms[place])
        ax.set_xticks(range(len(lengths)), [str(n) for n in lengths])
        ax.set_yticks(range(len(depths)), [f"{d:.0%}" for d in depths])
        for (x, n), (y, d) in ((a, b) for a in enumerate(lengths) for b in enumerate(depths)):
            if (n, d) in cells:
                ax.text(x, y, f"{cells[n, d]:.2f}", ha="center", va="center", fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylabel("depth")
    for ax in axes[-1]:
        ax.set_xlabel("tokens")
    drawn.colorbar(image, ax=axes, label="score")
    return drawn


def _make_line_plot(key: str, label: str) -> Callable[..., Figure]:
    def draw_lines(figure: Callable[[float, float], Figure], records: Sequence[Record]) -> Figure:
        drawn = figure(6.4, 4.0)
        ax = drawn.subplots()
        places = sorted({r[key] for r in records})
        arms = list(dict.fromkeys(r["arm"] for r in records))
        for i, arm in enumerate(arms):
            own = [r for r in records if r["arm"] == arm]
            _draw_line(ax, arm, i, places, [_scores_at(own, key, p) for p in places])
        ax.set(xlabel=label, ylabel="score", ylim=(-0.02, 1.05), xticks=range(len(places)))
        ax.set_xticklabels([f"{p:g}" for p in places])
        ax.legend(fontsize=8)
        return drawn

    return draw_lines


def _draw_line(
    ax: Axes, arm: str, index: int, places: Sequence[float], scores: Sequence[Sequence[float]]
) -> None:
    """Draw a line with its intervals, a little beside those of other arms."""
    found = [bootstrap_interval(values, resamples=2000) for values in scores]
    means = [f.mean for f in found]
    below = [f.mean - f.low for f in found]
    above = [f.high - f.mean for f in found]
    at = [x + 0.04 * index for x in range(len(places))]
    ax.errorbar(at, means, yerr=[below, above], marker="o", capsize=2, label=arm)


def _scores_at(records: Iterable[Record], key: str, place: float) -> list[float]:
    """Return scores at a place, one per row."""
    rows: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record[key] == place:
            rows[record["id"]].append(float(record["score"]))
    return [sum(scores) / len(scores) for scores in rows.values()]


_PICTURES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("heat", "{task}: score by length and depth", _draw_heatmap),
    ("length", "{task}: score against length", _make_line_plot("length", "tokens")),
    (
        "position",
        "{task}: score against position",
        _make_line_plot("position", "position of the answer"),
    ),
)
