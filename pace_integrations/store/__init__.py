"""Sessions on disk: single ones by path, and a store that finds them again by content.

Nothing here knows a model: read state is named tensors and a fingerprint. Listing and removing
sessions loads no PyTorch.
"""
