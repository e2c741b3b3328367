"""Tasks, answers and scores: how well a model writes the library's idiom, with error bars."""
