"""Pictures of PDF pages with a quote highlighted, drawn by a process of their own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

from pace_integrations.adapters.lru import LruCache
from pace_integrations.documents import Evidence, Page, highlight
from pace_integrations.documents.formats.sniffing import PDF, is_kind
from pace_integrations.documents.quotes.alignment import occurrence_of
from pace_integrations.errors import DocumentError

_SECONDS = 30
_WIDTH = 1100  # pixels
_PICTURES: LruCache[tuple[str, int, int, tuple[int, int]], bytes] = LruCache(64)
_DRAWING = threading.Semaphore(2)
# What draws never shares a process with the model: PDF files come from anybody.
_SCRIPT = """
import io, sys
import pypdfium2
from PIL import Image
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
except ImportError:
    pass
path, index, width, *numbers = sys.argv[1:]
page = pypdfium2.PdfDocument(path)[int(index)]
scale = min(int(width) / max(page.get_width(), 1), 4.0, 6000 / max(page.get_height(), 1))
picture = page.render(scale=scale).to_pil().convert("RGB")
left, bottom, right, top = page.get_cropbox()
shade = Image.new("RGB", picture.size, "white")
values = [float(number) for number in numbers]
if page.get_rotation() == 0:
    for i in range(0, len(values), 4):
        l, b, r, t = values[i:i + 4]
        box = [round(v * scale) for v in (l - left, top - t, r - left, top - b)]
        if box[2] > box[0] and box[3] > box[1]:
            shade.paste("#ffe24d", tuple(box))
from PIL import ImageChops
out = io.BytesIO()
ImageChops.multiply(picture, shade).save(out, "PNG")
sys.stdout.buffer.write(out.getvalue())
"""


def can_draw(path: Path) -> bool:
    """Return whether a picture of a file's pages can be drawn."""
    parsers = ("pypdfium2", "PIL")
    return all(map(importlib.util.find_spec, parsers)) and is_kind(path, PDF)


def draw_page(path: Path, page: Page, span: tuple[int, int]) -> bytes:
    """Return a PNG of a page, what stands in `span` of its text highlighted.

    Args:
        path: The PDF.
        page: The page.
        span: Start and end in the page's text; an empty one highlights nothing.

    Raises:
        DocumentError: It cannot be drawn.
    """
    key = (str(path), path.stat().st_mtime_ns, page.index, span)
    return _PICTURES.get_or_create(key, lambda: _draw_page(path, page, span))


def _draw_page(path: Path, page: Page, span: tuple[int, int]) -> bytes:
    boxes: list[float] = []
    if span[1] > span[0]:
        place = occurrence_of(page.text, *span)
        (found,) = highlight(path, [Evidence(page.index, page.text[slice(*span)], place)])
        boxes = [value for box in found for value in box]
    command = [sys.executable, "-I", "-c", _SCRIPT, str(path.resolve())]
    numbers = [str(page.index - 1), str(_WIDTH), *(f"{value:.2f}" for value in boxes)]
    with _DRAWING:
        try:
            done = subprocess.run(
                [*command, *numbers], capture_output=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise DocumentError(f"{path.name!r}: the page took too long to draw") from None
    if done.returncode:
        raise DocumentError(f"{path.name!r}: the page cannot be drawn; look at its text instead")
    return done.stdout
