"""Charts of Office files as text: titles, and each series with its categories and values."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from pace_integrations.documents.formats.archives import find_all, find_child, local_name
from pace_integrations.documents.formats.number_formats import format_stored
from pace_integrations.documents.formats.ooxml import drawing_paragraphs

_CATEGORIES = ("cat", "xVal")
_VALUES = ("val", "yVal")


def chart_lines(root: etree._Element) -> Iterator[str]:
    """Yield a chart's titles, and for each series its name with categories and values."""
    titles = [text for title in find_all(root, "title") for text in drawing_paragraphs(title)]
    if titles:
        yield f"[Chart: {'; '.join(titles)}]"
    for series in find_all(root, "ser"):
        name, labels, values, sizes = (
            _read_points(next((part for part in series if local_name(part) in kinds), None))
            for kinds in (("tx",), _CATEGORIES, _VALUES, ("bubbleSize",))
        )
        written = _read_labels(series)
        pairs = (
            " ".join(filter(None, (part.get(n) for part in (labels, values, sizes, written))))
            for n in sorted({*labels, *values, *written})
        )
        yield f"[Series {' '.join(name.values())}: {', '.join(pairs)}]"
    yield from _newer_series(root)
    for words in find_all(root, "userShapes"):
        yield from drawing_paragraphs(words)


def _newer_series(root: etree._Element) -> Iterator[str]:
    """Yield the series of the kinds of charts since 2016: waterfalls, funnels, tree maps, maps.

    Their points stand apart from them, at the head of the file.
    """
    tables = {data.get("id"): data for data in find_all(root, "data")}
    for series in find_all(root, "series"):
        place, words = find_child(series, "dataId"), find_child(series, "tx")
        name = "".join(v.text or "" for v in find_all(words, "v")) if words is not None else ""
        data = tables.get(place.get("val")) if place is not None else None
        if data is not None:
            labels, values = (_read_points(find_child(data, dim)) for dim in ("strDim", "numDim"))
            pairs = (
                " ".join(filter(None, (labels.get(n), values.get(n))))
                for n in sorted({*labels, *values})
            )
            yield f"[Series {name}: {', '.join(pairs)}]"


def _read_points(part: etree._Element | None) -> dict[int, str]:
    """Return the points of a part of a series by their numbers; a file leaves out blank ones.

    Categories may have several levels, the inner one first: an outer one goes on until the next.
    """
    if part is None:
        return {}
    levels = list(find_all(part, "lvl"))
    if not levels:
        return _numbered(part) or {n: v.text or "" for n, v in enumerate(find_all(part, "v"))}
    inner, *outer = (_numbered(level) for level in levels)
    found = {}
    for n, text in inner.items():
        above = (next((lv[m] for m in range(n, -1, -1) if m in lv), "") for lv in reversed(outer))
        found[n] = " ".join(filter(None, (*above, text)))
    return found


def _numbered(part: etree._Element) -> dict[int, str]:
    found: dict[int, str] = {}
    codes = (part.get("formatCode"), *(code.text for code in find_all(part, "formatCode")))
    shared = next(filter(None, codes), "General")
    parent = part.getparent()
    newer = parent is not None and local_name(parent) == "numDim"
    is_text = not newer and next(find_all(part, "numCache", "numLit"), None) is None
    for point in find_all(part, "pt"):
        number, value = point.get("idx") or "", find_child(point, "v")
        text = (point if value is None else value).text
        if text and text.strip():
            code = point.get("formatCode") or shared
            shown = text if is_text else format_stored(text, code)
            found[int(number) if number.isdigit() else len(found)] = shown
    return found


def _read_labels(series: etree._Element) -> dict[int, str]:
    """Return the words that people wrote on points of a series, by their numbers."""
    found: dict[int, str] = {}
    for label in find_all(series, "dLbl"):
        place, words = find_child(label, "idx"), find_child(label, "tx")
        number = (place.get("val") or "") if place is not None else ""
        text = " ".join(drawing_paragraphs(words)) if words is not None else ""
        if text and number.isdigit():
            found[int(number)] = f"({text})"
    return found
