"""Git to immutable snapshot; history. Nothing of the repository is ever executed."""
