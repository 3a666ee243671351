"""PDF files made for the tests."""

from __future__ import annotations

from io import BytesIO

from pypdf import PdfReader, PdfWriter
from pypdf.constants import PageLabelStyle
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas


def typeset(*pages: str, title: str | None = None) -> bytes:
    """A PDF of one line of text per line; an empty page stays without text."""
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=(595, 842), invariant=1)
    if title is not None:
        canvas.setTitle(title)
    for page in pages:
        for number, line in enumerate(page.split("\n") if page else []):
            canvas.drawString(60, 780 - 16 * number, line)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def scanned(pages: int = 1) -> bytes:
    """A PDF of pictures only."""
    # A binary PPM of 2 x 2 pixels: no picture file is needed.
    picture = ImageReader(BytesIO(b"P6 2 2 255\n" + bytes(range(12))))
    buffer = BytesIO()
    canvas = Canvas(buffer, invariant=1)
    for _ in range(pages):
        canvas.drawImage(picture, 50, 50, width=400, height=400)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def rewritten(data: bytes, change=lambda writer: None) -> bytes:
    """A PDF after a change by pypdf's writer."""
    writer = PdfWriter()
    writer.append(PdfReader(BytesIO(data)))
    change(writer)
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def joined(*files: bytes) -> bytes:
    """A PDF of the pages of several."""
    writer = PdfWriter()
    for data in files:
        writer.append(PdfReader(BytesIO(data)))
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def encrypted(data: bytes, password: str, algorithm: str = "AES-256") -> bytes:
    """A PDF that needs a password; an empty one asks for none."""
    return rewritten(
        data,
        lambda writer: writer.encrypt(password, owner_password="owner", algorithm=algorithm),
    )


def labelled(data: bytes) -> bytes:
    """A PDF whose pages are labelled iii, iv, A-3, A-4 and so on."""

    def change(writer: PdfWriter) -> None:
        writer.set_page_label(0, 1, style=PageLabelStyle.LOWERCASE_ROMAN, start=3)
        last = len(writer.pages) - 1
        writer.set_page_label(2, last, style=PageLabelStyle.DECIMAL, prefix="A-", start=3)

    return rewritten(data, change)


def without_pages() -> bytes:
    """A well-formed PDF with no page."""
    buffer = BytesIO()
    PdfWriter().write(buffer)
    return buffer.getvalue()
