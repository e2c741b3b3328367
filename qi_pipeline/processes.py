"""Processes: whether one is alive, and what those started for heavy work have in common.

Such a process exists for its parent alone. What it computes belongs to the package that starts it.
"""

import logging
import os
import threading
import time
import warnings

# How threads of llama.cpp wait for each other. OpenMP's default is to spin for long, which comes to
# a halt beside other work, such as scoring. Falling asleep at once costs a fifth of the tokens per
# second; a short while before it costs nothing (`benchmarks.generation`).
OPENMP_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "20000"}
_POLL_SECONDS = 1.0
_ABANDONED = 130


def is_alive(pid: int) -> bool:
    """Tell whether a process with this id runs on this machine, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def silence_library_notices() -> None:
    """Keep notices that no reader can act on out of the terminal.

    bitsandbytes warns at import of an optional kernel package; transformers announces renames in
    its own code. Both are pinned.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")


def end_with_parent() -> None:
    """End this process within seconds of its parent's death, however the parent died.

    A parent killed outright cannot end its children; without this, a training would go on for
    nobody, beside the one that the next run starts. Polling the parent's id works on every POSIX
    system and, unlike Linux's parent-death signal, does not depend on the parent's thread.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        os._exit(_ABANDONED)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
