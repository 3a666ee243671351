"""Opens zip archives that may be bombs, and XML in them that may be worse."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from io import BytesIO

from lxml import etree

from pace_integrations.documents.types import LimitExceededError


def open_archive(data: bytes, limit: int) -> zipfile.ZipFile:
    """Open a zip archive whose contents are of bounded size.

    Reading a member never gives more bytes than its entry declares, so the sum of the declared
    sizes bounds what comes out.

    Args:
        data: The archive.
        limit: Most bytes of all members together, uncompressed.

    Raises:
        LimitExceededError: The members are larger.
        zipfile.BadZipFile: The bytes are no zip archive.
    """
    archive = zipfile.ZipFile(BytesIO(data))
    size = sum(entry.file_size for entry in archive.infolist())
    if size > limit:
        raise LimitExceededError(
            f"the file holds {size / 2**20:.0f} MiB uncompressed, over the limit of "
            f"{limit / 2**20:.0f} MiB"
        )
    return archive


def parse_xml(data: bytes) -> etree._Element:
    """Parse XML that may be damaged; nothing is expanded and nothing loaded.

    Raises:
        ValueError: There is no element in it.
        LimitExceededError: It is nested so deep that what is within would be dropped.
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        recover=True,
        huge_tree=True,  # depth and size are bounded by the archive's limit and the process's
        remove_comments=True,
        remove_pis=True,
    )
    root = etree.fromstring(data, parser)
    if root is None:
        raise ValueError("a part of the file is no XML")
    if is_cut(parser):
        raise LimitExceededError("a part of the file is nested deeper than 2,048 elements")
    return root


def is_cut(parser: etree.XMLParser | etree.HTMLParser) -> bool:
    """Tell whether a parser gave up at a limit of its own, and dropped what came after."""
    return any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log)


def read_part(archive: zipfile.ZipFile, name: str) -> etree._Element | None:
    """Parse a member of an archive, or return None where it is missing or broken."""
    try:
        return parse_xml(archive.read(name))
    except (KeyError, ValueError, zipfile.BadZipFile):
        return None


def local_name(element: etree._Element) -> str:
    """Return an element's name without its namespace; "" for comments and the like."""
    tag = element.tag
    return tag.rsplit("}", 1)[-1] if isinstance(tag, str) else ""


def get_attribute(element: etree._Element, name: str) -> str | None:
    """Return an attribute by its local name, whatever its namespace."""
    for key, value in element.attrib.items():
        if str(key).rsplit("}", 1)[-1] == name:
            return str(value)
    return None


def find_child(element: etree._Element, *names: str) -> etree._Element | None:
    """Return the element that a path of local names leads to, or None."""
    for name in names:
        found = next((child for child in element if local_name(child) == name), None)
        if found is None:
            return None
        element = found
    return element


def find_all(element: etree._Element, *names: str) -> Iterator[etree._Element]:
    """Yield the elements below that have one of some local names, in document order."""
    return (child for child in element.iter() if local_name(child) in names)
