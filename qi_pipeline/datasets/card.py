"""The dataset card: what a stranger must know before training on these files.

Flows in: the summary, the snapshot and the profile. Flows out: Markdown with the front matter that
Hugging Face `datasets` reads, so `load_dataset(<folder>)` finds the two splits.
"""

import json
import re
from collections.abc import Mapping
from pathlib import PurePath

from qi_pipeline.datasets.contamination import MOST_HOLDERS, RUN_WORDS
from qi_pipeline.datasets.leaks import LONG_RUN, SHORT_RUN
from qi_pipeline.datasets.samples import TaskKind
from qi_pipeline.datasets.summary import DatasetSummary
from qi_pipeline.library.profile import Profile
from qi_pipeline.recognition.duplicates import NEAR_DUPLICATE_THRESHOLD
from qi_pipeline.source.snapshot import Snapshot

_KINDS: dict[TaskKind, str] = {
    "write": "asks for a module in words; the verified module",
    "complete": "shows a module without the body of one function; the verified module",
    "fix": "shows a broken module and what the checker or compiler says; the mended module",
    "explain": "shows code; the sentences people wrote about it and what it uses, no others",
    "test": "shows a unit of the library and names a case; the library's own test case",
}

_FORMATS = """\
## Files

| file | holds |
|---|---|
| `qi-patterns.jsonl` | one pattern per line: `id, type, instruction, implementation, complexity, \
category, metadata{source_file, line_range, dependencies, test_coverage}, symbols, commit, blob, \
container, source_kind`, and `kinds`: the kinds of task that were made of it |
| `qi-patterns-alpaca.json` | list of `{instruction, input, output, kind}`; `input` is the \
code that the question gives, `output` one complete module in a ```` ```typescript ```` block \
(prose where `kind` is `explain`) |
| `qi-conversations.json` | list of `{id, kind, messages}`: system, user, assistant |
| `train.parquet`, `validation.parquet` | columns `id`, `kind`, `group`, `prompt` (system and user \
message) and `completion` (assistant message): prompt-completion rows, of which TRL trains on the \
completion only |
| `splits.json` | `samples`: sample id to `split`, `group`, `kind` and whether it is in the \
parquet files |
| `overlaps.json` | what was left out because it overlaps with a task of the evaluation |
| `summary.json` | the counts of this page |
"""


def render_card(
    summary: DatasetSummary, snapshot: Snapshot, profile: Profile, options: Mapping[str, object]
) -> str:
    """Return the card; `options` are the settings that the data set was built with."""
    sections = [
        _front_matter(snapshot, profile),
        _introduction(summary, snapshot, profile),
        _counts(summary),
        _checks(summary),
        _split(summary, options),
        _FORMATS,
        _license(snapshot, profile),
        _limits(summary, options),
    ]
    return "\n".join(sections)


def read_licenses(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the licences that the snapshot's package manifests name, sorted; often just one."""
    found = set()
    for file in snapshot.files:
        if file.kind == "manifest" and PurePath(file.path).name == "package.json":
            found.add(_license_of(snapshot.read_text(file)))
    return tuple(sorted(name for name in found if name))


def _license_of(manifest: str) -> str | None:
    try:
        value = json.loads(manifest)
    except json.JSONDecodeError:
        # A manifest that npm itself could not read names no licence; the card then says so.
        return None
    name = value.get("license") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


def source_name(source: str) -> str:
    """Return how the card names a git source: a URL without credentials, or a folder's name."""
    url = re.match(r"(?P<scheme>\w+://)(?:[^@/]*@)?(?P<rest>.+)", source)
    if url and url["scheme"] != "file://":
        return url["scheme"] + url["rest"]
    return re.split(r"[/\\]", source.rstrip("/\\"))[-1]


def _front_matter(snapshot: Snapshot, profile: Profile) -> str:
    licenses = read_licenses(snapshot)
    license_id = licenses[0].lower() if len(licenses) == 1 else "other"
    return f"""\
---
license: {license_id}
task_categories: [text-generation]
tags: [code, typescript, {profile.name}]
configs:
  - config_name: default
    data_files:
      - split: train
        path: train.parquet
      - split: validation
        path: validation.parquet
---
"""


def _introduction(summary: DatasetSummary, snapshot: Snapshot, profile: Profile) -> str:
    packages = ", ".join(f"`{package.name}`" for package in profile.packages)
    return f"""\
# {profile.name} patterns

{summary.patterns} patterns of idiomatic use of {packages}, each a complete TypeScript module, and
{summary.fix_pairs} mended violations of its history, asked for in {summary.samples} ways.

- source: {source_name(snapshot.source)}, commit `{snapshot.commit}` ({snapshot.committed_at})
- data version: `{summary.data_version}`
"""


def _counts(summary: DatasetSummary) -> str:
    tables = (
        ("type", summary.patterns_by_type),
        ("category", summary.patterns_by_category),
        ("source kind", summary.patterns_by_source_kind),
        ("phrasing", summary.samples_by_phrasing),
    )
    blocks = [
        f"| {name} | {'samples' if name == 'phrasing' else 'patterns'} |\n|---|---|\n"
        + "".join(f"| {key} | {count} |\n" for key, count in counts.items())
        for name, counts in tables
    ]
    kinds = "".join(
        f"| {kind} | {_KINDS[kind]} | {count} | {summary.train_by_kind[kind]} | "
        f"{summary.validation_by_kind[kind]} |\n"
        for kind, count in summary.samples_by_kind.items()
    )
    header = "| kind | the question, and its answer | samples | train | validation |\n"
    blocks.append(f"{header}|---|---|---|---|---|\n{kinds}")
    return "## Counts\n\n" + "\n".join(blocks)


def _checks(summary: DatasetSummary) -> str:
    reasons = "".join(f"| {r} | {count} |\n" for r, count in summary.rejection_reasons.items())
    table = f"\n| reason for rejection | patterns |\n|---|---|\n{reasons}" if reasons else ""
    return f"""\
## How the samples were checked

Every module among the answers type-checks with the real TypeScript compiler against the library at
this commit and breaks none of the named convention rules; explanations quote the library's own
sentences. {summary.rejected_patterns} patterns were rejected.
{table}
Of the questions, {summary.ambiguous} were dropped because another sample answers the same words
differently, {summary.repeated} because they repeat a sample, and {summary.leaking} because they
show their answer: {LONG_RUN} consecutive tokens of a body ({SHORT_RUN} to {LONG_RUN} of a short
one) beside signatures, types and given code.

## Contamination

{summary.overlapping} samples were left out of every file, and {summary.overlapping_patterns}
patterns out of `qi-patterns.jsonl`, because they overlap with one of the {summary.tasks} tasks that
the model is measured on: prompts or code are near-duplicates (Jaccard index of at least
{NEAR_DUPLICATE_THRESHOLD} on 5-token shingles), or share {RUN_WORDS} consecutive words that at
most {MOST_HOLDERS} tasks and patterns hold. Import lines and comments do not count.
"""


def _split(summary: DatasetSummary, options: Mapping[str, object]) -> str:
    names = sorted(summary.train_by_type.keys() | summary.validation_by_type.keys())
    rows = "".join(
        f"| {n} | {summary.train_by_type.get(n, 0)} | {summary.validation_by_type.get(n, 0)} |\n"
        for n in names
    )
    return f"""\
## Split

{summary.train} rows to train on, {summary.validation} held out (wanted:
{options["validation_fraction"]}; seed {options["seed"]}). Rows are held out by group, and no group
is on both sides: patterns of one source file, near-duplicates (Jaccard index of at least 0.7 on
5-token shingles), mended violations of one commit, and a unit with its tests stay together. Where
that left too little to hold out, the largest groups were broken up into their sections and
declarations; near-duplicates and commits never are. There are
{summary.groups} groups; the largest has {summary.largest_group} rows.

| type | train | validation |
|---|---|---|
{rows}"""


def _license(snapshot: Snapshot, profile: Profile) -> str:
    licenses = read_licenses(snapshot)
    stated = (
        f"The package manifests of the source say: {', '.join(licenses)}."
        if licenses
        else "The package manifests of the source name no licence; ask its owner before sharing."
    )
    return f"""\
## Licence

The answers are code of the {profile.name} source and stay under its licence. {stated}
"""


def _limits(summary: DatasetSummary, options: Mapping[str, object]) -> str:
    return f"""\
## Known limits

- A module that compiles and keeps the rules can still do the wrong thing; only patterns with
  `test_coverage` are reached by a test of the source.
- The phrasings are made from names, signatures and doc comments by fixed templates, so they vary
  less than people do.
- {summary.test_cases} samples are test cases and {summary.explanations} are explanations; they are
  left out of the parquet files, since the model is to write library modules. The other files hold
  them.
- {summary.too_long} samples are longer than {options["max_characters"]} characters (prompt and
  answer) and are left out of the parquet files; the other files hold them.
- Counts per type follow the source: what the library's own examples seldom use is rare here.
"""
