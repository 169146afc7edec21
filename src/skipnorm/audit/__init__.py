"""Which norms and skips of a network pull their weight: what its architecture alone tells."""
