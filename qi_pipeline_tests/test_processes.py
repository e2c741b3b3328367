"""Heavy work ends with the process that asked for it."""

import subprocess
import sys
import time
from pathlib import Path

CHILD = """
import pathlib, sys, time
from qi_pipeline.processes import end_with_parent
end_with_parent()
while True:
    pathlib.Path(sys.argv[1]).write_text(str(time.time()))
    time.sleep(0.05)
"""
PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
input()
"""


def beats(sign_of_life: Path, seconds: float) -> bool:
    before = sign_of_life.read_text()
    time.sleep(seconds)
    return sign_of_life.read_text() != before


def test_a_child_outlives_its_killed_parent_by_seconds_only(tmp_path: Path) -> None:
    sign_of_life = tmp_path / "beat"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, str(sign_of_life)], stdin=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not sign_of_life.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    assert beats(sign_of_life, 2.0)
    parent.kill()
    parent.wait()
    time.sleep(3.0)
    assert not beats(sign_of_life, 1.0)
