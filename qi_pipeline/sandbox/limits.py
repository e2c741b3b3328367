"""How much an untrusted command may use.

Flows out: frozen `Limits`, and the two sets that module tests and suites run under. Enforcing them
belongs to `launcher` (what the kernel limits for each process) and `supervisor` (what is summed
over all processes).
"""

from dataclasses import asdict, dataclass

_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """The bounds of one run; going beyond any of them ends all of its processes."""

    wall_seconds: float
    """Wall-clock seconds from start to end, the starting of the sandbox included."""
    cpu_seconds: int
    """CPU seconds of each process."""
    memory_bytes: int
    """Resident memory summed over all processes, and the private writable memory of each one."""
    processes: int
    """Processes and threads at a time; Node.js alone needs eleven. Not limited without namespaces,
    where the kernel would count all processes of the same user."""
    file_bytes: int
    """Size of one written file."""
    scratch_bytes: int
    """Size of the private file system below /tmp; it lives in memory and dies with the run."""
    open_files: int
    """Open file descriptors of each process."""
    output_bytes: int
    """Standard output and standard error together."""

    def as_dict(self) -> dict[str, float]:
        """Return field name to value, as the launcher and cache keys take it."""
        return asdict(self)


MODULE_LIMITS = Limits(
    wall_seconds=10.0,
    cpu_seconds=5,
    memory_bytes=768 * _MIB,
    processes=40,
    file_bytes=4 * _MIB,
    scratch_bytes=8 * _MIB,
    open_files=128,
    output_bytes=256 * 1024,
)
"""For one module and its tests."""

SUITE_LIMITS = Limits(
    wall_seconds=300.0,
    cpu_seconds=240,
    memory_bytes=3072 * _MIB,
    processes=200,
    file_bytes=64 * _MIB,
    scratch_bytes=128 * _MIB,
    open_files=1024,
    output_bytes=8 * _MIB,
)
"""For a library's own suites, and for the trusted tools that read untrusted text."""
