"""Samples of whole libraries: the bundled one, and the real one when a clone is at hand."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qi_pipeline.datasets.fixes import imports_sample
from qi_pipeline.datasets.leaks import leaked_run
from qi_pipeline.datasets.reference import read_reference
from qi_pipeline.datasets.samples import TASK_KINDS, Sample
from qi_pipeline.datasets.synthesis import Synthesis, synthesize_samples
from qi_pipeline.extraction.extract import extract_patterns
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.library.profile import load_profile
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.settings import PROJECT_ROOT
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.workspace import prepare_library

PROFILE = load_profile()


@dataclass(frozen=True)
class Library:
    snapshot: Snapshot
    patterns: tuple[Pattern, ...]
    synthesis: Synthesis

    def of_kind(self, kind: str) -> list[Sample]:
        return [sample for sample in self.synthesis.samples if sample.kind == kind]


@pytest.fixture(scope="module", params=["sample", pytest.param("real", marks=pytest.mark.real)])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder: Path = tmp_path_factory.mktemp("library")
    if request.param == "real":
        source: Path = request.getfixturevalue("real_repository")
    else:
        source = folder / "library"
        build_sample_repository(source)
    snapshot = take_snapshot(str(source), "HEAD", PROFILE, folder / "snapshots", folder / "mirrors")
    patterns = extract_patterns(snapshot, PROFILE).patterns
    reference = read_reference(snapshot, PROFILE, patterns)
    return Library(snapshot, patterns, synthesize_samples(patterns, PROFILE, reference))


def test_every_kind_of_task_is_made(library: Library) -> None:
    counts = Counter(sample.kind for sample in library.synthesis.samples)
    assert all(counts[kind] >= 20 for kind in TASK_KINDS), counts


def test_no_question_shows_its_answer(library: Library) -> None:
    assert [leaked_run(sample) for sample in library.synthesis.samples if leaked_run(sample)] == []
    # The measure lets most of what is made pass; otherwise it would be the makers' fault.
    assert library.synthesis.leaking <= len(library.synthesis.samples) / 50


def test_no_question_has_two_answers(library: Library) -> None:
    prompts = [" ".join(sample.prompt.split()).casefold() for sample in library.synthesis.samples]
    assert len(prompts) == len(set(prompts))


RESIDUE = re.compile(
    r"\*\*|\[[^\]]*\]\(|^#|\s{2}|\.\.(?!\.)|: ?\.|\(\)\.$|<!--|\{@|[\u2600-\u27BF]|"
    r"\b(?:this (?:example|section|guide)|as shown|the following example|let's)\b",
    re.IGNORECASE,
)


def test_questions_read_like_typed_by_a_person(library: Library) -> None:
    for sample in library.synthesis.samples:
        wording = re.sub(r"`[^`]*`|\"[^\"]*\"", "x", sample.instruction)
        if sample.kind != "test":
            assert not RESIDUE.search(wording), sample.instruction
        assert sample.instruction[0].isupper() or sample.instruction[0] == "`"
        assert sample.instruction[-1] in ".?"
        assert "\n" not in sample.instruction
        assert sample.instruction.count("`") % 2 == 0


def test_a_completion_lacks_the_body_that_its_answer_has(library: Library) -> None:
    for sample in library.of_kind("complete"):
        (body,) = sample.withheld
        assert body in sample.answer
        assert body not in sample.given or len(body) < 20


@pytest.fixture
def checker(library: Library, tmp_path: Path) -> Iterator[Checker]:
    workspace = prepare_library(library.snapshot, PROFILE, tmp_path / "cache")
    with Checker(workspace, PROFILE, PROJECT_ROOT / "toolchain") as running:
        yield running


def test_the_compiler_says_what_the_question_says_it_does(
    library: Library, checker: Checker
) -> None:
    made = (imports_sample(pattern, PROFILE) for pattern in library.patterns)
    samples = {sample.id: sample for sample in made if sample is not None}
    verdicts = checker.check_modules({name: _code(sample) for name, sample in samples.items()})
    for name, sample in samples.items():
        found = [diagnostic.message for diagnostic in verdicts[name].diagnostics]
        said = re.findall(
            r"^- (.*)$", sample.given.rpartition("The compiler says:\n")[2], re.MULTILINE
        )
        assert said
        for words in said:
            assert any(message.startswith(words) for message in found), (sample.given, found)


def _code(sample: Sample) -> str:
    found = re.search(r"```typescript\n(.*?)\n```", sample.given, re.DOTALL)
    assert found is not None
    return found[1]
