"""Metrics of answers and citations; `registry` has all of them by name."""
