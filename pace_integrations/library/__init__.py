"""The library: every page read once, whatever it is asked with."""
