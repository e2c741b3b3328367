"""The labelled fixtures of the rules: TypeScript whose lines say what must be found on them.

`// expect: R2 R12` at a line's end: these rules and no others are broken there. Every other line
must be in order; `// look-alike` marks one that a hasty reader would take for a violation. A file
stands in an app of the sample library, so that relative imports reach its neighbours.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.validation.program import SourceProgram

FIXTURES = Path(__file__).with_name("rules")
_FOLDER = "app/labelled/src"
_EXPECTATION = re.compile(r"// expect: ((?:R\d+ ?)+)$")

Label = tuple[str, int, str]
"""File name, 1-based line, rule."""


def fixture_texts() -> dict[str, str]:
    """Return the text of every fixture, by file name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(FIXTURES.glob("*.ts"))}


def labels_of(name: str, text: str) -> Iterator[Label]:
    """Yield what one fixture's lines say must be found."""
    for number, line in enumerate(text.splitlines(), start=1):
        expectation = _EXPECTATION.search(line.rstrip())
        for rule in expectation[1].split() if expectation else ():
            yield name, number, rule


def look_alikes_of(text: str) -> int:
    """Return how many lines of a fixture only look like a violation."""
    return sum(line.rstrip().endswith("// look-alike") for line in text.splitlines())


def library_sources(root: Path, profile: Profile) -> dict[str, str]:
    """Return the TypeScript files of the library's implementation below `root`."""
    paths = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.ts"))}
    return {
        name: path.read_text(encoding="utf-8")
        for name, path in paths.items()
        if profile.kind_of(name) == "implementation"
    }


def open_fixtures(root: Path, toolchain: Path) -> SourceProgram:
    """Return the program of the library below `root` and the fixtures, not yet entered."""
    profile = load_profile()
    texts = {place_of(path.name): path.read_text(encoding="utf-8") for path in FIXTURES.iterdir()}
    return SourceProgram({**library_sources(root, profile), **texts}, profile, toolchain)


def place_of(name: str) -> str:
    """Return the path of a fixture in the program."""
    return f"{_FOLDER}/{name}"


def judge_fixtures(root: Path, toolchain: Path) -> tuple[set[Label], set[Label], int]:
    """Judge all fixtures in one batch; return what was found wrongly, what was missed, and the
    number of labels.
    """
    texts = fixture_texts()
    expected = {label for name, text in texts.items() for label in labels_of(name, text)}
    with open_fixtures(root, toolchain) as program:
        judged = program.violations([place_of(name) for name in texts])
    found = {(name, rule.line, rule.id) for name in texts for rule in judged[place_of(name)]}
    return found - expected, expected - found, len(expected)
