"""Corrects how pypdf reads fonts that name their encoding and embed a different one.

A simple font's ``/Encoding`` entry takes precedence over the encoding inside the embedded font
program (ISO 32000-1, 9.6.6.1). pypdf 7.1 asks the program first, and pages come out as cipher
text. Text extraction needs no glyph outlines, so the program is taken out of the font's
descriptor, in memory only, and pypdf falls back to the named encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from pypdf.generic import DictionaryObject, NameObject, PdfObject


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
