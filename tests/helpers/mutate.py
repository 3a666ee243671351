"""Makes hostile PDF files out of sound ones, each kind of damage by a rule and a seed."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject

Mutation = Callable[[bytes, random.Random], bytes]
_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)


def truncated(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(1, len(data))]


def flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 200)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut_out(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randint(1, 2000) :]


def swapped_streams(data: bytes, chance: random.Random) -> bytes:
    spans = [match.span(1) for match in _STREAM.finditer(data)]
    if len(spans) < 2:
        return data[::-1]
    (a, b), (c, d) = sorted(chance.sample(spans, 2))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def wild_numbers(data: bytes, chance: random.Random) -> bytes:
    values = [b"-1", b"0", b"99999999999", b"2147483648", b"1e308"]
    return re.sub(
        rb"(?<=[ /])\d+(?=[ \r\n>])",
        lambda match: chance.choice(values) if chance.random() < 0.03 else match[0],
        data,
    )


def looping_references(data: bytes, chance: random.Random) -> bytes:
    numbers = re.findall(rb"(\d+) 0 R", data) or [b"1"]
    return re.sub(
        rb"\d+ 0 R",
        lambda match: chance.choice(numbers) + b" 0 R" if chance.random() < 0.2 else match[0],
        data,
    )


def looping_xref(data: bytes, chance: random.Random) -> bytes:
    match = re.search(rb"startxref\s+(\d+)", data)
    return data.replace(b"trailer", b"trailer\n<< /Prev %d >>" % int(match[1] if match else 0))


def deep_tree(data: bytes, chance: random.Random) -> bytes:
    """A chain of page tree nodes, which ends in itself or in nothing."""
    depth, kids = chance.choice([500, 5000]), chance.choice([b"%d 0 R", b""])
    nodes = b"".join(
        b"%d 0 obj\n<< /Type /Pages /Count 1 /Kids [%d 0 R] >>\nendobj\n" % (n, n + 1)
        for n in range(2, depth)
    )
    last = b"%d 0 obj\n<< /Type /Pages /Count 1 /Kids [%s] >>\nendobj\n" % (
        depth,
        kids % 2 if kids else kids,
    )
    root = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
    return root + nodes + last + b"trailer\n<< /Root 1 0 R >>\n%%EOF\n"


def bomb(data: bytes, chance: random.Random) -> bytes:
    """A page whose content stream grows a thousandfold, twice over now and then."""
    writer = PdfWriter(BytesIO(data) if PdfReader(BytesIO(data)).pages else None)
    writer.add_blank_page(100, 100)
    content = zlib.compress(b"(x) Tj " * chance.choice([10**6, 10**7, 3 * 10**7]), 9)
    filters = [NameObject("/FlateDecode")]
    if chance.random() < 0.5:
        content, filters = zlib.compress(content, 9), filters * 2
    from pypdf.generic import StreamObject

    stream = StreamObject()
    stream._data = content
    stream[NameObject("/Filter")] = ArrayObject(filters)
    writer.pages[-1][NameObject("/Contents")] = writer._add_object(stream)
    return _written(writer)


def recursive_forms(data: bytes, chance: random.Random) -> bytes:
    """Forms that draw the next one ten times each, the last one the first."""
    parts = [b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"]
    parts.append(b"2 0 obj\n<< /Type /Pages /Count 1 /Kids [3 0 R] >>\nendobj\n")
    parts.append(
        b"3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R "
        b"/Resources << /XObject << /F 4 0 R >> >> >>\nendobj\n"
    )
    last = chance.choice([8, 30])
    for number in range(4, last + 1):
        follow = 4 if number == last else number + 1
        parts.append(
            b"%d 0 obj\n<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 60 /Resources "
            b"<< /XObject << /F %d 0 R >> >> >>\nstream\n%s\nendstream\nendobj\n"
            % (number, follow, b"/F Do " * 10)
        )
    return b"".join([*parts, b"trailer\n<< /Root 1 0 R >>\n%%EOF\n"])


def many_pages(data: bytes, chance: random.Random) -> bytes:
    """A tree that names one page thousands of times."""
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    tree = writer.root_object["/Pages"].get_object()
    tree[NameObject("/Kids")] = ArrayObject([tree["/Kids"][0]] * chance.choice([2000, 60000]))
    tree[NameObject("/Count")] = NumberObject(2**31 - 1)
    return _written(writer)


def wrong_suffix(data: bytes, chance: random.Random) -> bytes:
    starts = [b"PK\x03\x04", b"\x89PNG\r\n", b"<!DOCTYPE html><html>", b"\x00" * 900, b"GIF89a"]
    return chance.choice(starts) + data


def wild_fonts(data: bytes, chance: random.Random) -> bytes:
    """Fonts whose widths, encodings and maps are of the wrong type."""
    try:
        writer = PdfWriter(BytesIO(data))
    except Exception:
        return data[1:]
    for page in writer.pages:
        resources = page.get("/Resources")
        fonts = resources.get_object().get("/Font") if resources is not None else None
        for font in (fonts.get_object() if fonts is not None else {}).values():
            key = chance.choice(["/Widths", "/Encoding", "/ToUnicode", "/FirstChar", "/Subtype"])
            wrong = [NumberObject(-7), ArrayObject(), DictionaryObject(), NameObject("/Nonsense")]
            font.get_object()[NameObject(key)] = chance.choice(wrong)
    return _written(writer)


def _written(writer: PdfWriter) -> bytes:
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


MUTATIONS: tuple[Mutation, ...] = (
    truncated,
    flipped,
    cut_out,
    swapped_streams,
    wild_numbers,
    looping_references,
    looping_xref,
    deep_tree,
    bomb,
    recursive_forms,
    many_pages,
    wrong_suffix,
    wild_fonts,
)


def mutants(sources: list[bytes], count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Damaged files with names that tell how they were made; all kinds come in turn."""
    for number in range(count):
        chance = random.Random(seed * 10_007 + number)
        mutation = MUTATIONS[number % len(MUTATIONS)]
        source = sources[(number // len(MUTATIONS)) % len(sources)]
        try:
            data = mutation(source, chance)
        except Exception:  # the source itself is too odd for this rule
            data = flipped(source, chance)
        yield f"{number:03d}-{mutation.__name__}.pdf", data
