"""The thin shapes on the core: one module for each interface that clients know."""
