"""Clocks, memory and the machine's limits, as one process sees them."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

DEVICE = "PACE_BENCH_DEVICE"
PACKAGES = ("torch", "transformers", "langchain-huggingface", "llama-index-llms-huggingface")


def clock() -> float:
    """CPU seconds of this process: what other programs do does not stretch them.

    On an accelerator, seconds of the wall, once all that was begun there is done.
    """
    if device() == "cpu":
        return time.process_time()
    torch.accelerator.synchronize()
    return time.perf_counter()


def device() -> str:
    """Return the device that is measured, set by ``--device``."""
    return os.environ.get(DEVICE, "cpu")


def peak_memory() -> float:
    """Return the most memory in MB since `forget_peak`, of this process or of its accelerator."""
    if device() == "cpu":
        return status("VmHWM")
    return torch.cuda.max_memory_allocated() / 2**20


def status(name: str) -> float:
    """Return a figure of this process's memory in MB, such as ``VmRSS`` or ``VmHWM`` (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def forget_peak() -> None:
    """Give freed memory back and starts the peak anew."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    if device() != "cpu":
        torch.cuda.reset_peak_memory_stats()


def machine() -> dict[str, str]:
    """Return the machine and the versions, for the report."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    found = {"cpu": cpus[0].split(":")[1].strip(), "cores": str(len(cpus))}
    found |= {"python": platform.python_version(), "threads": str(torch.get_num_threads())}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except ImportError:
            found[package] = "not installed"
    return found


def matrix_rate() -> float:
    """Floating-point operations per CPU second of a large float32 matrix product."""
    a, b = torch.randn(2, 1536, 1536)
    seconds = _best(lambda: a @ b)
    return 2 * 1536**3 / seconds


def bandwidth() -> float:
    """Bytes per CPU second that a sum over a tensor larger than the caches reads."""
    a = torch.ones(64 * 2**20)
    return a.numel() * 4 / _best(lambda: a.sum())


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(4):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)
