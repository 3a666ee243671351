"""Corrects how pypdf reads some fonts, in memory only.

A simple font's ``/Encoding`` entry takes precedence over the encoding inside the embedded font
program (ISO 32000-1, 9.6.6.1). pypdf 7.1 asks the program first, and pages come out as cipher
text. Text extraction needs no glyph outlines, so the program is taken out of the font's
descriptor, and pypdf falls back to the named encoding.

Code 32 of a TeX font in T1 encoding is no space but a visible sign for one, twice as wide. pypdf
takes its width for that of a space and loses the narrow spaces of justified lines.
"""

from __future__ import annotations

from collections.abc import Iterator

from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject, PdfObject

_SPACE = 32


def _dictionary(value: PdfObject | None) -> DictionaryObject | None:
    resolved = value.get_object() if value is not None else None
    return resolved if isinstance(resolved, DictionaryObject) else None


def _entries(resources: DictionaryObject, kind: str) -> Iterator[DictionaryObject]:
    group = _dictionary(resources.get(kind))
    for value in (group or {}).values():
        entry = _dictionary(value)
        if entry is not None:
            yield entry


def _fonts(page: DictionaryObject) -> Iterator[DictionaryObject]:
    """The fonts of a page and of the forms it draws; every form once, whoever draws it."""
    owners, seen = [page], {id(page)}
    while owners:
        resources = _dictionary(owners.pop().get("/Resources"))
        if resources is None:
            continue
        yield from _entries(resources, "/Font")
        for form in _entries(resources, "/XObject"):
            if form.get("/Subtype") == "/Form" and id(form) not in seen:
                seen.add(id(form))
                owners.append(form)


def _names_encoding(font: DictionaryObject) -> bool:
    encoding = font.get("/Encoding")
    resolved = encoding.get_object() if encoding is not None else None
    if isinstance(resolved, DictionaryObject):
        return "/BaseEncoding" in resolved
    return isinstance(resolved, NameObject)


def prefer_named_encodings(page: DictionaryObject) -> None:
    """Makes the encoding that a page's Type 1 fonts name the one that pypdf uses."""
    for font in _fonts(page):
        if font.get("/Subtype") != "/Type1" or "/ToUnicode" in font or not _names_encoding(font):
            continue
        descriptor = _dictionary(font.get("/FontDescriptor"))
        for key in ("/FontFile", "/FontFile3"):
            if descriptor is not None and key in descriptor:
                del descriptor[key]


def _differences(font: DictionaryObject) -> dict[int, str]:
    """The glyph names that a font's encoding gives to codes."""
    encoding = _dictionary(font.get("/Encoding"))
    values = encoding.get("/Differences") if encoding is not None else None
    names: dict[int, str] = {}
    code = 0
    for value in values.get_object() if values is not None else ():
        if isinstance(value, NameObject):
            names[code] = str(value)
            code += 1
        else:
            code = int(value)
    return names


def forget_visible_spaces(page: DictionaryObject) -> None:
    """Takes away the width of code 32 from fonts that name their glyphs and no space there."""
    for font in _fonts(page):
        names = _differences(font)
        if not names or names.get(_SPACE) == "/space" or _names_encoding(font):
            continue
        widths, first = font.get("/Widths"), int(font.get("/FirstChar", 0))
        values = widths.get_object() if widths is not None else None
        if isinstance(values, ArrayObject) and 0 <= _SPACE - first < len(values):
            values[_SPACE - first] = NumberObject(0)
