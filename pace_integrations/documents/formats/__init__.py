"""Readers of file formats; `registry.FORMATS` lists them."""
