"""The learned half of pattern recognition: embeddings, and clusters of near-duplicates."""
