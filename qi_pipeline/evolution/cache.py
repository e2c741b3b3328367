"""Results that outlive a run, each in a file named by the hash of all it depends on.

Flows in: keys and pydantic records. Flows out: the same records. Entries are never changed, only
added, and those that were not used for longest go when there are too many; the whole folder may be
deleted at any time.
"""

import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

import qi_pipeline
from qi_pipeline.artefacts import content_hash, write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile

# Whatever these packages do decides what is found in a file.
DECIDING: Final = ("evolution", "extraction", "library", "recognition", "source", "validation")
_PARSERS: Final = ("tree-sitter", "tree-sitter-typescript")
_PACKAGE: Final = Path(qi_pipeline.__file__).parent
_MAX_BYTES: Final = 256_000_000
"""Size beyond which the entries that were not used for longest go."""

Record = TypeVar("Record", bound=BaseModel)


class EvolutionCache:
    """Records below one folder."""

    def __init__(self, folder: Path, *conditions: str, max_bytes: int = _MAX_BYTES) -> None:
        """Take the folder and the `conditions` under which every result was found."""
        self._folder = folder
        self._conditions = conditions
        self._max_bytes = max_bytes
        self._used: set[Path] = set()

    def key(self, *parts: object) -> str:
        """Return the key of what is found for `parts` under the conditions."""
        return content_hash([*self._conditions, *parts])

    def get(self, key: str, kind: type[Record]) -> Record | None:
        """Return the record under `key`, or None.

        Raises QiPipelineError when the file is damaged.
        """
        path = self._path(key)
        try:
            record = kind.model_validate_json(path.read_bytes())
            os.utime(path)
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise QiPipelineError(
                f"{path} is damaged; delete the folder {self._folder}, it is only a cache"
            ) from error
        self._used.add(path)
        return record

    def put(self, key: str, record: BaseModel) -> None:
        """Keep `record` under `key`."""
        self._used.add(write_text(self._path(key), record.model_dump_json(exclude_defaults=True)))

    def prune(self) -> None:
        """Delete the entries that were not used for longest until the rest fits.

        What this object gave or took stays.
        """
        entries: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("??/*.json"):
            # Another process may prune at the same time.
            with suppress(FileNotFoundError):
                status = path.stat()
                entries.append((status.st_mtime, status.st_size, path))
        size = sum(taken for _, taken, _ in entries)
        for _, taken, path in sorted(entries):
            if size <= self._max_bytes:
                return
            if path not in self._used:
                path.unlink(missing_ok=True)
                size -= taken

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


def conditions(profile: Profile, toolchain_dir: Path) -> tuple[str, ...]:
    """Return what decides a result besides the library: profile, code, parsers, compiler."""
    return (
        profile_hash(profile),
        code_hash(),
        *(f"{name} {version(name)}" for name in _PARSERS),
        _compiler_version(toolchain_dir),
    )


def profile_hash(profile: Profile) -> str:
    """Return the SHA-256 of everything the profile says."""
    return content_hash(profile.model_dump(mode="json"))


@cache
def code_hash(root: Path = _PACKAGE) -> str:
    """Return the SHA-256 over the code below `root` that reads and judges files."""
    digest = hashlib.sha256()
    for package in DECIDING:
        for path in sorted((root / package).glob("*.py")):
            digest.update(f"{package}/{path.name}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _compiler_version(toolchain_dir: Path) -> str:
    path = toolchain_dir / "node_modules" / "typescript" / "package.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["version"])
    except FileNotFoundError as error:
        raise QiPipelineError(
            f"no TypeScript compiler below {toolchain_dir}; run `make setup` (or `npm ci` there)"
        ) from error
