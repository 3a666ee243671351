"""Parsing in processes of its own."""
