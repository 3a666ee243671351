"""The form of an XFA file: its own texts, captions and what is filled in.

Viewers other than Adobe's show a placeholder in its place, and the page's text says no more.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping

from lxml import etree

from pace_integrations.documents.formats.archives import find_all, find_child, local_name, parse_xml
from pace_integrations.documents.formats.clean import clean_characters

_DRAWN = ("draw", "field")
_HIDDEN = ("hidden", "invisible")


def read_xfa(packets: Mapping[str, bytes]) -> list[str]:
    """Return the lines of a form in the order of its template, then what it names nowhere.

    Args:
        packets: The packets of the form by their names; "" for a form in one piece.

    Raises:
        ValueError: A packet is no XML.
    """
    roots = [parse_xml(data) for data in packets.values() if data.strip().startswith(b"<")]
    values: dict[str, deque[str]] = defaultdict(deque)
    for root in roots:
        for name, value in _walk_values(root):
            values[name].append(value)
    lines: list[str] = []
    for root in roots:
        for template in find_all(root, "template"):
            lines += _walk_template(template, values)
    for name, left in values.items():
        lines += [f"[Field {name}: {value}]" for value in left if value]
    return lines


def _walk_values(root: etree._Element) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the data that are filled in."""
    for datasets in find_all(root, "datasets"):
        data = find_child(datasets, "data")
        for leaf in data.iter() if data is not None else ():
            if not len(leaf) and leaf is not data:
                yield local_name(leaf), " ".join(clean_characters(leaf.text or "").split())


def _walk_template(template: etree._Element, values: dict[str, deque[str]]) -> Iterator[str]:
    for element in find_all(template, *_DRAWN):
        if any(e.get("presence") in _HIDDEN for e in (element, *element.iterancestors())):
            continue
        value = _text_below(find_child(element, "value"))
        if local_name(element) == "draw":
            if value:
                yield value
            continue
        name = element.get("name") or ""
        caption = _text_below(find_child(element, "caption", "value")) or name
        if values.get(name):
            value = values[name].popleft()
        yield f"[Field {caption}: {value}]" if value else caption


def _text_below(element: etree._Element | None) -> str:
    if element is None or find_child(element, "image") is not None:
        return ""
    return " ".join(clean_characters(" ".join(element.itertext())).split())
