"""Opens zip archives (DOCX, EPUB) that may be bombs."""

from __future__ import annotations

import zipfile
from io import BytesIO

from pace_integrations.documents.types import LimitExceededError


def open_archive(data: bytes, most: int) -> zipfile.ZipFile:
    """Opens a zip archive whose contents are of bounded size.

    Reading a member never gives more bytes than its entry declares, so the sum of the declared
    sizes bounds what comes out.

    Args:
        data: The archive.
        most: Most bytes of all members together, uncompressed.

    Raises:
        LimitExceededError: The members are larger.
        zipfile.BadZipFile: The bytes are no zip archive.
    """
    archive = zipfile.ZipFile(BytesIO(data))
    size = sum(entry.file_size for entry in archive.infolist())
    if size > most:
        raise LimitExceededError(
            f"the file holds {size / 2**20:.0f} MiB uncompressed, over the limit of "
            f"{most / 2**20:.0f} MiB"
        )
    return archive
