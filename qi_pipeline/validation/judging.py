"""Judge many parsed files of one compiler state by the convention rules.

Flows in: the questions to one state of the program and the files as syntax trees. Flows out: a
`Judgement` for each file. Everything is asked in a few rounds, whatever the number of files. Which
files there are, and what becomes of the judgements, belongs to `checker` and `program`.
"""

from collections.abc import Mapping

from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.evidence import Evidence, wanted_types
from qi_pipeline.validation.expression_types import type_facts
from qi_pipeline.validation.questions import Questions
from qi_pipeline.validation.references import (
    LibraryFacts,
    References,
    import_bindings,
    reference_offsets,
)
from qi_pipeline.validation.rules import Judgement
from qi_pipeline.validation.syntax import ParsedModule


def judge(
    questions: Questions,
    facts: LibraryFacts,
    profile: Profile,
    modules: Mapping[str, ParsedModule],
) -> dict[str, Judgement]:
    """Return the judgement of each module, by the absolute path of its file."""
    references = _references(questions, facts, profile, modules)
    types = type_facts(
        questions,
        {file: wanted_types(found) for file, found in references.items()},
        {file: module.utf16 for file, module in modules.items()},
        facts,
        profile.conventions,
    )
    return {
        file: Judgement(Evidence(found, types.get(file, {}))) for file, found in references.items()
    }


def _references(
    questions: Questions,
    facts: LibraryFacts,
    profile: Profile,
    modules: Mapping[str, ParsedModule],
) -> dict[str, References]:
    bindings = {file: import_bindings(module, profile) for file, module in modules.items()}
    symbols = questions.symbols(
        {file: reference_offsets(module, bindings[file], facts) for file, module in modules.items()}
    )
    by_path = {
        file: [binding.offset for binding in found if binding.is_relative]
        for file, found in bindings.items()
    }
    meanings = questions.meanings({file: found for file, found in by_path.items() if found})
    return {
        file: References(
            module, bindings[file], symbols[file], facts, profile, meanings.get(file, {})
        )
        for file, module in modules.items()
    }
