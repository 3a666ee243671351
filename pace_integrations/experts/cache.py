"""Orders of neurons on disk, one file per layer, by what they were computed from."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pace_integrations._files import make_cache_folder
from pace_integrations.config import ExpertConfig

_VERSION = 1  # of the solvers: another answer to the same question needs another key


def make_cache_key(rows: Tensor, config: ExpertConfig) -> str:
    """Name the answer to one clustering: a hash of the rows and of what decides the labels."""
    facts = {
        "version": _VERSION,
        "shape": list(rows.shape),
        "dtype": str(rows.dtype),
        "experts": config.experts,
        "solver": config.solver,
        "seed": config.seed,
        "by": config.by,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    # Bytes of any dtype, also of those that NumPy does not know; by parts, to copy little.
    for part in rows.split(4096):
        digest.update(part.contiguous().cpu().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class PermutationCache:
    """A folder of orders.

    Args:
        folder: Where; it is made when the first order is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, neurons: int) -> Tensor | None:
        """Return the order kept under a key ``(d_ff,)``; None where none is, or a damaged one."""
        try:
            order = load_file(self._file_path(key))["order"].long()
        except (OSError, SafetensorError, KeyError):
            return None
        whole = order.shape == (neurons,) and bool((order.sort().values.diff() == 1).all())
        return order if whole and int(order.min()) == 0 else None

    def put(self, key: str, order: Tensor) -> None:
        """Keep an order; a reader sees all of it or nothing."""
        make_cache_folder(self._folder)
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".part")
        os.close(handle)
        try:
            save_file({"order": order.to("cpu", torch.int32)}, name)
            Path(name).replace(self._file_path(key))
        finally:
            Path(name).unlink(missing_ok=True)

    def _file_path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"
