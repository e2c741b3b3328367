"""The real Chroma, in a folder and behind a server."""
