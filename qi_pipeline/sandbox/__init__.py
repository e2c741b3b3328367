"""Running TypeScript that nobody trusts: a module, or a suite over changed sources."""
