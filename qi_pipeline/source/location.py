"""From a source and a revision, as a person writes them, to a repository on this machine.

Flows in: a path or URL and a branch, tag or commit. Flows out: a `Location`: where to read, and
which commit. What the commit holds belongs to `tree`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.source.commands import hide_credentials, run_git
from qi_pipeline.source.mirror import commit_in_mirror

_URL = re.compile(r"(?:https?|ssh|git|file)://.")
_SCP_LIKE = re.compile(r"[A-Za-z0-9_][\w.-]*@[A-Za-z0-9_][\w.-]*:(?!//).")
# Both spellings of a remote helper; `ext::` runs the command that follows it.
_OTHER_TRANSPORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*(?:::|://)")
_KNOWN_REVISIONS_SHOWN = 8


@dataclass(frozen=True)
class Location:
    """One commit in a repository on this machine."""

    repository: Path
    """Work tree, bare repository or mirror."""
    commit: str
    """40 hex digits."""


def locate(source: str, revision: str, mirrors_dir: Path) -> Location:
    """Find the commit that `revision` names in the repository `source`.

    `source` is a work tree, a bare repository or a URL (https, http, ssh, git, file, or
    user@host:path); a URL is mirrored below `mirrors_dir` first. Raises QiPipelineError naming the
    input when either is malformed, missing, unreachable or refused by git.
    """
    _refuse_options("source", source)
    _refuse_options("revision", revision)
    if _is_url(source):
        repository, commit = commit_in_mirror(source, revision, mirrors_dir)
    else:
        repository, commit = _open_local(source), None
    return Location(repository, commit or _resolve(repository, revision, hide_credentials(source)))


def _refuse_options(what: str, value: str) -> None:
    if not value.strip() or value.startswith("-") or re.search(r"[\x00-\x1f\x7f]", value):
        raise QiPipelineError(
            f"{value!r} is not a {what}; it must not be empty, begin with '-' or hold control "
            "characters"
        )


def _is_url(source: str) -> bool:
    if _URL.match(source):
        return True
    if Path(source).exists():
        return False
    if _SCP_LIKE.match(source):
        return True
    if _OTHER_TRANSPORT.match(source):
        raise QiPipelineError(
            f"the transport of {hide_credentials(source)!r} is not allowed; give a local path or a "
            "URL that begins with https://, ssh://, git:// or file://"
        )
    return False


def _open_local(source: str) -> Path:
    path = Path(source).expanduser().resolve()
    try:
        # GitPython looks for the git binary when imported; importing this package must not. It
        # recognises work trees, linked ones and bare repositories without starting a program.
        import git  # noqa: PLC0415
    except ImportError as error:
        raise QiPipelineError("git is not installed; install it (2.30 or newer)") from error
    try:
        git.Repo(path, expand_vars=False).close()
    except git.NoSuchPathError as error:
        raise QiPipelineError(
            f"no such directory: {path}; give the path or the URL of a git repository"
        ) from error
    except git.InvalidGitRepositoryError as error:
        raise QiPipelineError(f"{path} is not a git repository{_enclosing(path)}") from error
    return path


def _enclosing(path: Path) -> str:
    for parent in path.parents:
        if (parent / ".git").exists():
            return f"; it lies inside the one at {parent}; give that path"
    return "; give the folder that holds `.git`, a bare repository, or a URL"


def _resolve(repository: Path, revision: str, name: str) -> str:
    # Standard input cannot be taken for an option.
    question = f"{revision}^{{commit}}\n".encode()
    answer = run_git(["cat-file", "--batch-check"], directory=repository, stdin=question)
    words = answer.decode("utf-8", "replace").split()
    if words[1:2] == ["commit"]:
        return _forty_digits(words[0], name)
    known = _known_revisions(repository)
    if not known:
        raise QiPipelineError(f"the repository {name} has no commits; use another one")
    raise QiPipelineError(
        f"unknown or ambiguous revision {revision!r} in {name}; known: {', '.join(known)}; "
        "a commit id works too"
    )


def _forty_digits(commit: str, name: str) -> str:
    if len(commit) != len("0" * 40):
        raise QiPipelineError(f"{name} uses SHA-256 object ids; only SHA-1 repositories are read")
    return commit


def _known_revisions(repository: Path) -> list[str]:
    options = [f"--count={_KNOWN_REVISIONS_SHOWN}", "--sort=-creatordate"]
    listing = run_git(
        ["for-each-ref", *options, "--format=%(refname:short)", "refs/heads", "refs/tags"],
        directory=repository,
    )
    return listing.decode("utf-8", "replace").splitlines()
