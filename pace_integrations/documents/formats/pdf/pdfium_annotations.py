"""Annotations of a page by PDFium: what people typed on it, and the fields of a form."""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pypdfium2

raw: Any = pypdfium2.raw

_Handle: TypeAlias = Any  # pointers of PDFium
_MEDIA = frozenset({18, 19, 21, 25, 26})  # sounds, movies, screens, 3D, rich media
_MAX_OPTIONS = 1_000
_TAG = re.compile(r"<[^<>]*>")
_FIELDS = {1: "button", 2: "checkbox", 3: "radio", 4: "choice", 5: "choice", 6: "text", 7: "sign"}


@dataclass(slots=True)
class Enclosed:
    """What annotations enclose beside words.

    Attributes:
        files: Names and bytes of attached files.
        left_out: What has no words, with its numbers: sounds, films, stamps.
    """

    files: list[tuple[str, bytes]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_annotation(
    page: pypdfium2.PdfPage, number: int, form: _Handle | None, enclosed: Enclosed
) -> str:
    """Return what an annotation says, or "".

    Args:
        page: The page.
        number: Which of its annotations, from 0.
        form: The form of the document, or None.
        enclosed: Takes files and media.
    """
    annotation = raw.FPDFPage_GetAnnot(page.raw, number)
    if not annotation:
        return ""
    try:
        kind = raw.FPDFAnnot_GetSubtype(annotation)
        if kind == raw.FPDF_ANNOT_WIDGET:
            return _read_field(annotation, form) if form is not None else ""
        if kind in (raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP):
            return ""
        if kind == raw.FPDF_ANNOT_FILEATTACHMENT:
            _take_file(page, annotation, enclosed)
        if kind in _MEDIA:
            enclosed.left_out["embedded media"] += 1
        text = _clean(_annotation_text(annotation, b"Contents"))
        if not text:  # words with looks, of a program that writes them only so
            text = _clean(_TAG.sub(" ", _annotation_text(annotation, b"RC")))
        if not text and kind == raw.FPDF_ANNOT_STAMP:
            enclosed.left_out["stamps"] += 1
        author = _clean(_annotation_text(annotation, b"T"))
        by = f" by {author}" if author and kind != raw.FPDF_ANNOT_FREETEXT else ""
        return f"[Note{by}: {text}]" if text else ""
    finally:
        raw.FPDFPage_CloseAnnot(annotation)


def _take_file(page: pypdfium2.PdfPage, annotation: _Handle, enclosed: Enclosed) -> None:
    handle = raw.FPDFAnnot_GetFileAttachment(annotation)
    if handle:
        file = pypdfium2.PdfAttachment(handle, page.pdf)
        enclosed.files.append((file.get_name(), read_attachment(file)))


def read_attachment(file: pypdfium2.PdfAttachment) -> bytes:
    """Return the bytes of an attached file; none where they cannot be read."""
    try:
        return bytes(file.get_data())
    except pypdfium2.PdfiumError:
        return b""


def _read_field(annotation: _Handle, form: _Handle) -> str:
    kind = _FIELDS.get(raw.FPDFAnnot_GetFormFieldType(form, annotation), "")
    value = _clean(_form_text(raw.FPDFAnnot_GetFormFieldValue, form, annotation))
    if kind == "choice":
        value = _chosen_options(annotation, form) or value
    if kind in ("checkbox", "radio"):
        if not raw.FPDFAnnot_IsChecked(form, annotation):
            return ""
        export = _form_text(raw.FPDFAnnot_GetFormFieldExportValue, form, annotation)
        value = _clean(export) or value or "checked"
    if kind in ("", "button") or not value:
        return ""
    label = _form_text(raw.FPDFAnnot_GetFormFieldAlternateName, form, annotation)
    name = label or _form_text(raw.FPDFAnnot_GetFormFieldName, form, annotation)
    return f"[Field {_clean(name)}: {value}]"


def _chosen_options(annotation: _Handle, form: _Handle) -> str:
    """Return the labels of all options that are chosen."""
    count = max(0, raw.FPDFAnnot_GetOptionCount(form, annotation))
    labels = []
    for number in range(min(count, _MAX_OPTIONS)):
        if raw.FPDFAnnot_IsOptionSelected(form, annotation, number):
            size = raw.FPDFAnnot_GetOptionLabel(form, annotation, number, None, 0)
            labels.append(_read_utf16(size, _option_label(form, annotation, number)))
    return ", ".join(_clean(label) for label in labels if label)


def _option_label(form: _Handle, annotation: _Handle, number: int) -> Callable[..., object]:
    return lambda buffer, n: raw.FPDFAnnot_GetOptionLabel(form, annotation, number, buffer, n)


def _clean(text: str) -> str:
    return " ".join(text.replace("\r", "\n").split())


def _read_utf16(size: int, fill: Callable[..., object]) -> str:
    """Return the text that a function of PDFium writes into a buffer."""
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    fill(ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", "replace")


def _annotation_text(annotation: _Handle, key: bytes) -> str:
    size = raw.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    return _read_utf16(
        size, lambda buffer, n: raw.FPDFAnnot_GetStringValue(annotation, key, buffer, n)
    )


def _form_text(function: Callable[..., int], form: _Handle, annotation: _Handle) -> str:
    size = function(form, annotation, None, 0)
    return _read_utf16(size, lambda buffer, n: function(form, annotation, buffer, n))
