"""The bundled sample library: a TypeScript workspace written for this project.

It has the public names, signatures and behaviour of the library this project
learns from and none of its text, so that everything runs without a network
and without somebody else's code.

Flows in: nothing. Flows out: a git repository whose HEAD is `tree/` and whose
scripted history exercises what a real history does. What the pipeline makes
of that repository does not belong here.
"""

from qi_pipeline.sample.history import COMMITS, TREE_ROOT, Commit
from qi_pipeline.sample.repository import build_sample_repository, commit_ids

__all__ = ["COMMITS", "TREE_ROOT", "Commit", "build_sample_repository", "commit_ids"]
