"""Judge many parsed files of one compiler state by the convention rules.

Flows in: the questions to one state of the program and the files as syntax trees. Flows out: a
`Judgement` for each file. Everything is asked in three rounds, whatever the number of files. Which
files there are, and what becomes of the judgements, belongs to `checker` and `program`.
"""

from collections.abc import Mapping

from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.questions import Questions
from qi_pipeline.validation.references import (
    LibraryFacts,
    References,
    import_bindings,
    reference_offsets,
)
from qi_pipeline.validation.rules import Judgement, member_offsets, result_spans
from qi_pipeline.validation.syntax import ParsedModule


def judge(
    questions: Questions,
    facts: LibraryFacts,
    profile: Profile,
    modules: Mapping[str, ParsedModule],
) -> dict[str, Judgement]:
    """Return the judgement of each module, by the absolute path of its file."""
    bindings = {file: import_bindings(module, profile) for file, module in modules.items()}
    offsets = {
        file: [*reference_offsets(module, bindings[file]), *member_offsets(module, profile)]
        for file, module in modules.items()
    }
    symbols = questions.symbols(offsets)
    references = {
        file: References(module, bindings[file], symbols[file], facts, profile)
        for file, module in modules.items()
    }
    results = questions.result_spans(
        {file: result_spans(found) for file, found in references.items()},
        {file: module.utf16 for file, module in modules.items()},
        profile.conventions.tag_member,
        facts.result_members,
    )
    return {
        file: Judgement(references[file], results.get(file, frozenset())) for file in modules
    }
