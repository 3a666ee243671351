"""KV caches: in shared segments, int8, and with a sliding window."""
