"""The library profile: what is relevant, and what a wrong profile says."""
