"""The Chroma store of kept patterns: built incrementally, searched by meaning."""
