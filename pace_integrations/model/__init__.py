"""One Hugging Face causal language model: loading, prompts, prefill, decoding, ownership.

Nothing here knows a document format, a session or a framework.
"""
