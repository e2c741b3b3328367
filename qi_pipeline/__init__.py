"""qi_pipeline: from a TypeScript library's git history to a local model that writes its idiom."""

__version__ = "0.1.0"
