"""Constrained."""
