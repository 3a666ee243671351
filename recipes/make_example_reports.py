"""Writes ``examples/reports``, two annual reports, and ``examples/papers``, three short studies.

    python -m recipes.make_example_reports

The reports say the same of two years, with some other values; the studies answer the same
questions about their methods. All names are made up, and the output is the same to the byte.
"""

from __future__ import annotations

import sys
from pathlib import Path

from recipes.make_example_documents import write_pdf

REPORTS = {
    2024: ("412,000", "6.1 million", "58", "Sula", "870,000", "14 May 2025"),
    2025: ("455,000", "6.8 million", "61", "Gannet", "790,000", "6 May 2026"),
}
PAPERS = {
    "kelp-forests": (
        "Kelp forests after the warm summer",
        "This study was carried out by Tom Rask in 2021. The sample consisted of 30 kelp forests. "
        "Divers counted the plants along lines of 50 metres. The study was funded by the Marine "
        "Council.",
        "The main result is a recovery of the forests within three years. The water temperature "
        "was measured with loggers. A limitation is that no forest below 20 metres was visited.",
    ),
    "mussel-beds": (
        "Mussel beds of the northern firths",
        "This study was carried out by Ines Duarte in 2019. The sample consisted of 48 mussel "
        "beds. The beds were surveyed from a boat at low tide. The study was funded by the Coastal "
        "Trust.",
        "The main result is a loss of 12 percent of the area in ten years. The water temperature "
        "was measured with buoys. A limitation is that storms closed the firths for six weeks.",
    ),
    "seagrass": (
        "Seagrass meadows and anchoring boats",
        "This study was carried out by Lena Ford in 2023. The sample consisted of 64 seagrass "
        "meadows. The meadows were photographed with a drone. The study was funded by the "
        "University of Aberdeen.",
        "The main result is that buoys reduce the damage by half. The water temperature was "
        "measured with satellites. A limitation is that only summer months were observed.",
    ),
}


def report(year: int) -> tuple[tuple[str, ...], ...]:
    """Return pages of an annual report, each a heading and paragraphs."""
    passengers, turnover, people, ship, fuel, meeting = REPORTS[year]
    return (
        (
            "1. The year in figures",
            f"This is the annual report of Tarn Ferries for {year}. The company carried "
            f"{passengers} passengers. The turnover was {turnover} pounds. The company employed "
            f"{people} people at the end of the year. The managing director was Moira Kell.",
            "The ferries run between Tarn and the island of Corrie from six in the morning until "
            "ten at night.",
        ),
        (
            "2. Ships and investments",
            f"The largest ship is the {ship}. The fuel cost {fuel} pounds. The new pier cost "
            "240,000 pounds.",
            f"The next general meeting takes place on {meeting} in the town hall of Tarn.",
        ),
    )


def main(folder: Path) -> None:
    """Write both folders of PDFs below a folder."""
    for name in ("reports", "papers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for year in REPORTS:
        path = folder / "reports" / f"annual-report-{year}.pdf"
        write_pdf(path, f"Annual report {year}", report(year))
    for name, (title, methods, results) in PAPERS.items():
        pages = (("1. Methods", methods), ("2. Results", results))
        write_pdf(folder / "papers" / f"{name}.pdf", title, pages)


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else root / "examples")
