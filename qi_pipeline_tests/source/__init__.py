"""Git repositories of every shape, read without running anything of theirs."""
