"""The line by which a harness inside the sandbox says what it found.

Flows in: everything a run wrote. Flows out: the record behind the random word that the harness was
given, and the rest. What the record means belongs to `modules` and `suite`.
"""

import json
from typing import Any


def split_verdict(stdout: str, nonce: str) -> tuple[dict[str, Any] | None, str]:
    """Return the record of the first line `NONCE JSON`, None without one, and the other output.

    A line that was cut off, or holds anything but a JSON object, is no record.
    """
    before, found, after = stdout.partition(f"\n{nonce} ")
    if not found:
        return None, stdout
    line, closed, rest = after.partition("\n")
    return _object(line) if closed else None, before + rest


def _object(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None
