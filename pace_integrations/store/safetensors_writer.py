"""Write safetensors files piece by piece, so that no tensor is copied whole on the way to disk.

The library's own writer wants every tensor dense and in memory at once; a cache is made of
segments and of views into larger buffers. Reading is left to the library, which maps files.
Format: https://huggingface.co/docs/safetensors, section "Format".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pace_integrations._files import create_file

Parts = Mapping[str, Sequence[Tensor]]

ALIGNMENT = 64  # where the data starts; kernels read aligned tensors faster
_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.bool: "BOOL",
    torch.uint8: "U8",
}
_AXIS = 2  # keys and values (batch, heads, tokens, size) come in parts along their tokens


def write_tensors(file: Path, tensors: Parts, data: str) -> str:
    """Write tensors, each given in parts along its third axis, in bounded memory.

    Args:
        file: File to create.
        tensors: One or more parts of each tensor, by name; parts agree but for that axis.
        data: What the file belongs to; it is written into its metadata.

    Returns:
        SHA-256 of the file as it was meant to be written, in hexadecimal.

    Raises:
        OSError: The file cannot be written.
    """
    # The reader wants no gaps, and types of the same size side by side.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1][0].element_size(), item[0]))
    digest = hashlib.sha256()
    with create_file(file) as stream:
        stream.write(header := _encode_header(ordered, data))
        digest.update(header)
        for piece in _iter_bytes(ordered):
            digest.update(piece)
            stream.write(piece)
    return digest.hexdigest()


def _encode_header(ordered: Sequence[tuple[str, Sequence[Tensor]]], data: str) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"data": data}}
    start = 0
    for name, parts in ordered:
        shape = list(parts[0].shape)
        if len(parts) > 1:
            shape[_AXIS] = sum(part.shape[_AXIS] for part in parts)
        stop = start + sum(part.numel() * part.element_size() for part in parts)
        kind = _NAMES[parts[0].dtype]
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _iter_bytes(ordered: Sequence[tuple[str, Sequence[Tensor]]]) -> Iterator[memoryview]:
    for _, parts in ordered:
        for row in _iter_rows(parts):
            # numpy knows no bfloat16; bytes are bytes.
            yield row.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _iter_rows(parts: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield a tensor's content in order: one head at a time, of one part after the other."""
    if parts[0].dim() <= _AXIS:
        yield from parts
        return
    for batch in range(parts[0].shape[0]):
        for head in range(parts[0].shape[1]):
            for part in parts:
                yield part[batch, head]
