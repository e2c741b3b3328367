"""Kept patterns to training files: phrasings, splits by group, formats, dataset card."""
