"""Equations of MathML on one line: ``(a+b)/2``, ``x^2``, ``sqrt(y)``."""

from __future__ import annotations

from lxml import etree

from pace_integrations.documents.formats.archives import local_name
from pace_integrations.documents.formats.equations import (
    format_fraction,
    format_root,
    format_scripts,
)

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
        return format_fraction(padded[0], padded[1])
    if name in ("msup", "mover"):
        return format_scripts(padded[0], "", padded[1])
    if name in ("msub", "munder"):
        return format_scripts(padded[0], padded[1], "")
    if name in ("msubsup", "munderover"):
        return format_scripts(padded[0], padded[1], padded[2])
    if name == "msqrt":
        return format_root("", "".join(parts))
    if name == "mroot":
        return format_root(padded[1], padded[0])
    if name == "mtable":
        return f"[{'; '.join(parts)}]"
    if name in ("mtr", "mlabeledtr"):
        return ", ".join(parts)
    if name == "mfenced":
        listed = (element.get("separators") or ",").strip()[:1].join(parts)
        return f"{element.get('open') or '('}{listed}{element.get('close') or ')'}"
    return (element.text or "").strip() + "".join(parts)
