"""Convention rules, the TypeScript compiler and the verdict that every later stage shares."""
