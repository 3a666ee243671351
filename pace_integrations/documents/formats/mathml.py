"""Equations of MathML on one line: ``(a+b)/2``, ``x^2``, ``sqrt(y)``."""

from __future__ import annotations

from lxml import etree

from pace_integrations.documents.formats.archives import local_name

_SOURCES = ("tex", "starmath")
_MAX_DEPTH = 60
_SILENT = frozenset({"annotation", "annotation-xml", "mphantom", "none", "mprescripts"})


def math_source(element: etree._Element) -> str:
    """Return an equation as its author typed it where it says so, else as its parts tell."""
    for child in element.iter():
        kind = (child.get("encoding") or "").lower() if local_name(child) == "annotation" else ""
        if any(name in kind for name in _SOURCES):
            return " ".join("".join(child.itertext()).split())
    return element.get("alttext") or format_math(element)


def format_math(element: etree._Element, depth: int = 0) -> str:
    """Return an element of an equation and all in it on one line."""
    name = local_name(element)
    if depth > _MAX_DEPTH:
        return "".join("".join(element.itertext()).split())
    inner = (child for child in element if local_name(child) not in _SILENT)
    parts = [format_math(child, depth + 1) for child in inner]
    if name == "semantics":
        return parts[0] if parts else ""
    if not len(element):
        return " ".join((element.text or "").split())
    padded = [*parts, "", "", ""]
    if name == "mfrac":
        return f"{_group(padded[0])}/{_group(padded[1])}"
    if name in ("msup", "mover"):
        return _script(padded[0], "", padded[1])
    if name in ("msub", "munder"):
        return _script(padded[0], padded[1], "")
    if name in ("msubsup", "munderover"):
        return _script(padded[0], padded[1], padded[2])
    if name == "msqrt":
        return f"sqrt({''.join(parts)})"
    if name == "mroot":
        return f"root{padded[1]}({padded[0]})"
    if name == "mtable":
        return f"[{'; '.join(parts)}]"
    if name in ("mtr", "mlabeledtr"):
        return ", ".join(parts)
    if name == "mfenced":
        listed = (element.get("separators") or ",").strip()[:1].join(parts)
        return f"{element.get('open') or '('}{listed}{element.get('close') or ')'}"
    return (element.text or "").strip() + "".join(parts)


def _group(text: str) -> str:
    return text if len(text) <= 1 or text.isalnum() else f"({text})"


def _script(base: str, below: str, above: str) -> str:
    """Return a base with what stands below and above it; accents follow their letter."""
    lower = f"_{_group(below)}" if below else ""
    accent = len(above) == 1 and not above.isalnum() and above not in "*+-−∞†"
    upper = above if accent else f"^{_group(above)}" if above else ""
    return f"{base}{lower}{upper}"
