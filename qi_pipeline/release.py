"""Which model answers whom: candidate, canary, live, and the ways back.

Flows in: the pointer as it stands, a decision or a person's wish. Flows out: the next pointer. A
model that passed the gate gets a share of the traffic as canary and becomes live when somebody
promotes it; one step leads back to the model before, or to the base model. Every model is checked
to be the file that was measured before the pointer names it. Reading and writing the pointer
belongs to `stages`, deciding to `evaluation.gate`, routing traffic to serving.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from qi_pipeline.artefacts import content_hash, file_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.gate import Decision

Target = Literal["previous", "base"]


class ReleasedModel(BaseModel):
    """One model that the release pointer names."""

    model_config = ConfigDict(frozen=True)

    model: Path
    modelfile: Path
    model_hash: str
    """SHA-256 of the file as it was measured."""
    released_at: str
    """ISO 8601 with offset: when the pointer first named it."""
    evaluation: Path
    """Folder of the evaluation that it was measured in."""


class Release(BaseModel):
    """The `model_release` asset: which model is live, which is on trial, and what else there is."""

    model_config = ConfigDict(frozen=True)

    live: ReleasedModel | None
    canary: ReleasedModel | None = None
    """On trial with a share of the traffic."""
    canary_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the requests that the canary answers."""
    fallback: ReleasedModel | None
    """The model that was live before."""
    base: ReleasedModel | None = None
    """The base model, exported by the same route: the last resort, and live before any release."""
    candidate: Path | None
    """The model that the gate held back last."""
    rolled_back: tuple[str, ...] = ()
    """Hashes of models that somebody took back; the gate does not let them in again."""
    decision: Decision

    @property
    def data_version(self) -> str:
        """Hash of who answers whom."""
        models = [self.live, self.canary, self.fallback]
        hashes = [model.model_hash if model is not None else None for model in models]
        return content_hash([hashes, self.canary_share, self.decision.release])

    def knows(self, model_hash: str) -> bool:
        """Tell whether a model is live or on trial already."""
        return model_hash in {model.model_hash for model in (self.live, self.canary) if model}


_TAKEN_BACK = Decision(release=False, reason="A model was taken back by hand.", lines=())


def nothing_released() -> Release:
    """Return the pointer before the first release."""
    decision = Decision(release=False, reason="Nothing was released yet.", lines=())
    return Release(live=None, fallback=None, candidate=None, decision=decision)


def admit(
    current: Release,
    model: ReleasedModel,
    base: ReleasedModel,
    decision: Decision,
    canary_share: float,
) -> Release:
    """Let in a model that passed the gate: on trial, or live at once when no share is set aside.

    A canary that nobody promoted gives way. Raises QiPipelineError when the file is not the one
    that was measured.
    """
    _require_intact(model)
    changes: dict[str, object] = {"base": base, "candidate": None, "decision": decision}
    if canary_share > 0:
        changes |= {"canary": model, "canary_share": canary_share}
    else:
        fallback = current.live or base
        changes |= {"live": model, "fallback": fallback, "canary": None, "canary_share": 0.0}
    return current.model_copy(update=changes)


def withhold(
    current: Release, model: ReleasedModel, base: ReleasedModel, decision: Decision
) -> Release:
    """Keep the live model, and remember which model was held back and why.

    A canary that the gate no longer lets in is withdrawn; a later evaluation may admit it again.
    """
    changes: dict[str, object] = {"candidate": model.model, "base": base, "decision": decision}
    if current.canary is not None and current.canary.model_hash == model.model_hash:
        changes |= {"canary": None, "canary_share": 0.0}
    return current.model_copy(update=changes)


def promote(current: Release) -> Release:
    """Make the canary live; the model before it stays as fallback.

    Raises QiPipelineError when nothing is on trial, or its file is not the one that was measured.
    """
    if current.canary is None:
        raise QiPipelineError(
            "no model is on trial, so there is none to promote; `qi status` says what is live and "
            "why the last candidate was held back"
        )
    _require_intact(current.canary)
    return current.model_copy(
        update={
            "live": current.canary,
            "fallback": current.live or current.base,
            "canary": None,
            "canary_share": 0.0,
        }
    )


def roll_back(current: Release, to: Target) -> Release:
    """Take a model back.

    To the previous one: a canary is withdrawn and the live model stays; without a canary the
    fallback is live again. To the base model: it is live, whatever was. What was taken back is not
    let in again.

    Raises QiPipelineError, and changes nothing, when there is nothing to go back to, or its file is
    not the one that was measured.
    """
    if to == "base":
        return _back_to(current, current.base, "base model")
    if current.canary is not None:
        return current.model_copy(
            update={
                "canary": None,
                "canary_share": 0.0,
                "rolled_back": _with(current.rolled_back, current.canary),
                "decision": _TAKEN_BACK,
            }
        )
    return _back_to(current, current.fallback, "earlier model")


def _back_to(current: Release, target: ReleasedModel | None, what: str) -> Release:
    if target is None:
        raise QiPipelineError(
            f"there is no {what} to go back to; `qi status` shows what the pointer knows"
        )
    _require_intact(target)
    taken = [model for model in (current.live, current.canary) if model is not None]
    rolled_back = current.rolled_back
    for model in taken:
        if model.model_hash != target.model_hash:
            rolled_back = _with(rolled_back, model)
    return current.model_copy(
        update={
            "live": target,
            "fallback": None,
            "canary": None,
            "canary_share": 0.0,
            "rolled_back": tuple(one for one in rolled_back if one != target.model_hash),
            "decision": _TAKEN_BACK,
        }
    )


def _with(hashes: tuple[str, ...], model: ReleasedModel) -> tuple[str, ...]:
    return (*(one for one in hashes if one != model.model_hash), model.model_hash)


def broken_models(release: Release) -> dict[str, str]:
    """Return what is wrong with the files that the pointer names, by their part in it."""
    parts = {
        "live": release.live,
        "canary": release.canary,
        "fallback": release.fallback,
        "base": release.base,
    }
    found = {name: problem_with(model) for name, model in parts.items() if model is not None}
    return {name: problem for name, problem in found.items() if problem}


def problem_with(model: ReleasedModel) -> str:
    """Return why a model's file is not the one that was measured; empty when it is."""
    if not model.model.is_file():
        return f"{model.model} is gone"
    if file_hash(model.model) != model.model_hash:
        return f"{model.model} is not the file that was measured"
    return ""


def _require_intact(model: ReleasedModel) -> None:
    problem = problem_with(model)
    if problem:
        raise QiPipelineError(
            f"{problem}; nothing was changed. Restore the file, or export and evaluate again"
        )
