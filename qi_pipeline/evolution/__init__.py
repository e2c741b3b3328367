"""How the use of the library changes over its history."""
