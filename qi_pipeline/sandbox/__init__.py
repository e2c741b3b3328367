"""Running TypeScript that nobody trusts."""
