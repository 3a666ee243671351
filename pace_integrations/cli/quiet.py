"""Keeps other packages' warnings, log lines and progress bars off the terminal."""

from __future__ import annotations

import logging
import os
import sys
import warnings

# Read by the packages when they are imported, and by processes that this one starts.
_SWITCHES = {
    "TRANSFORMERS_VERBOSITY": "critical",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_VERBOSITY": "critical",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "BITSANDBYTES_NOWELCOME": "1",
    "PYTHONWARNINGS": "ignore",
}


def silence_libraries() -> None:
    """Silence other packages in this process and its children; call it before they are imported.

    Warnings that were asked for (``python -W``, PYTHONWARNINGS, TRANSFORMERS_VERBOSITY) are shown.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
    # A root with a handler keeps logging from writing what nobody handles to standard error.
    logging.getLogger().addHandler(logging.NullHandler())
