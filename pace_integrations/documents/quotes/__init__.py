"""Quotes in texts: pure functions of text."""
