"""Training files, from rows to what the real readers see."""
