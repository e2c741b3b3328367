"""Results that outlive a run, each in a file named by the hash of all it depends on.

Flows in: keys and pydantic records. Flows out: the same records. Entries are never changed, only
added; the whole folder may be deleted at any time.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

import qi_pipeline
from qi_pipeline.artefacts import content_hash, write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile

# Whatever these packages do decides what is found in a file.
_DECIDING = ("evolution", "extraction", "validation", "recognition")

Record = TypeVar("Record", bound=BaseModel)


class EvolutionCache:
    """Records below one folder."""

    def __init__(self, folder: Path, *conditions: str) -> None:
        """Take the folder and the `conditions` under which every result was found."""
        self._folder = folder
        self._conditions = conditions

    def key(self, *parts: object) -> str:
        """Return the key of what is found for `parts` under the conditions."""
        return content_hash([*self._conditions, *parts])

    def get(self, key: str, kind: type[Record]) -> Record | None:
        """Return the record under `key`, or None.

        Raises QiPipelineError when the file is damaged.
        """
        path = self._path(key)
        try:
            return kind.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise QiPipelineError(
                f"{path} is damaged; delete the folder {self._folder}, it is only a cache"
            ) from error

    def put(self, key: str, record: BaseModel) -> None:
        """Keep `record` under `key`."""
        write_text(self._path(key), record.model_dump_json(exclude_defaults=True))

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


def conditions(profile: Profile, toolchain_dir: Path) -> tuple[str, ...]:
    """Return hashes of what decides a result besides the library: profile, code, compiler."""
    return profile_hash(profile), code_hash(), _compiler_version(toolchain_dir)


def profile_hash(profile: Profile) -> str:
    """Return the SHA-256 of everything the profile says."""
    return content_hash(profile.model_dump(mode="json"))


@cache
def code_hash() -> str:
    """Return the SHA-256 over the code that reads and judges files."""
    root = Path(qi_pipeline.__file__).parent
    digest = hashlib.sha256()
    for package in _DECIDING:
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
