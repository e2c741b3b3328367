"""Linear algebra on one thread, for matrices too small to share.

With a few hundred rows a second thread mostly waits for the first: on two busy cores one thread was
ten times as fast. It also makes sums come out alike on machines with different numbers of cores.
"""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit the numeric libraries of this process to one thread until the block ends."""
    # A library that is loaded later would not be limited, so all are loaded first.
    import sklearn.cluster  # noqa: PLC0415 - heavy
    import sklearn.linear_model  # noqa: PLC0415
    import sklearn.manifold  # noqa: F401, PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    with threadpool_limits(limits=1):
        yield
