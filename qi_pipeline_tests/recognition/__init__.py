"""Near-duplicates and the real embedding model."""
