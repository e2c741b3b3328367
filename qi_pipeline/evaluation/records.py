"""What an evaluation writes down: requests, answers, scored results, arms.

Frozen records and nothing else: every module of this package passes these on, and the report keeps
them as JSON. How they come about belongs to the modules that make them.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from qi_pipeline.evaluation.answers import How
from qi_pipeline.evaluation.statistics import Figure, Interval, Proportion
from qi_pipeline.evaluation.tasks import Forbidden
from qi_pipeline.extraction.pattern import Category, PatternType
from qi_pipeline.sandbox.modules import TestStatus
from qi_pipeline.validation.verdict import Verdict

FinishReason = Literal["stop", "length", "repetition"]
"""`stop`: the model ended its answer; `length`: it was cut off at max_tokens; `repetition`: it was
cut off because it only repeated itself."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Message(_Record):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Request(_Record):
    """One answer that is wanted: a conversation, and which of its samples."""

    task_id: str
    messages: tuple[Message, ...]
    sample: int = 0
    """0 for the first answer to these messages, 1 for the second, and so on."""


class GenerationOptions(_Record):
    """How answers are made."""

    max_tokens: int = 800
    """Most tokens of one answer."""
    n_ctx: int = 4096
    """Context window in tokens of one conversation: messages and answer."""
    temperature: float = 0.0
    """0 is greedy decoding; above it tokens are drawn."""
    top_p: float = 0.95
    """Share of the probability mass that is drawn from; without effect on greedy decoding."""
    seed: int = 0
    slots: int = 16
    """Conversations under way side by side, begun in the requests' order."""
    threads: int | None = None
    """CPU threads; None means all cores. Changes the speed, never what is answered."""

    def decoding(self) -> dict[str, float]:
        """Return the options that decide what is answered."""
        return self.model_dump(exclude={"threads"})


class Answer(_Record):
    """What a model wrote for one request."""

    task_id: str
    sample: int
    answer: str
    tokens: int
    """Tokens generated."""
    prompt_tokens: int
    seconds: float
    """This answer's part of the wall time: parts add up to the time it took to generate all."""
    latency_seconds: float
    """Wall time from the start, of its reading or of its wave, to this answer's last token."""
    first_token_seconds: float
    """Wall time from there to this answer's first token."""
    finish_reason: FinishReason
    slots: int
    """Answers under way side by side, at most."""


class TestResult(_Record):
    """How the code did on the task's tests, inside the sandbox."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    status: TestStatus
    assertions: int
    failures: tuple[str, ...]
    """The first that failed, or why there is no verdict."""
    seconds: float

    @property
    def passed(self) -> bool:
        """True when every assertion ran and held."""
        return self.status == "passed"


class TaskScore(_Record):
    """How one answer does on one task."""

    parses: bool
    exports_entry_point: bool
    compiles: bool
    """It compiles and exports what was asked for (an empty module compiles too)."""
    adheres: bool
    """It parses, exports the entry point, breaks no rule, does nothing forbidden and uses the
    required API."""
    tests_passed: bool
    judged: bool
    """The rules could look at it: the checker neither refused it nor stopped at a syntax error."""
    rules: tuple[str, ...]
    """Ids of the rules of severity error that it breaks, sorted."""
    forbidden: tuple[Forbidden, ...]
    """What it does although the task forbids it."""
    missing_api: tuple[str, ...]
    """Required symbols it does not use; alternatives are joined by ` or `."""
    hallucinated: tuple[str, ...]
    """Modules, imported names and members that do not exist, sorted."""
    lines: int
    """Lines of code that are neither blank nor comment."""
    bleu: Figure
    """Sentence BLEU against the reference, 0 to 100."""
    bleu_statistics: tuple[int, ...]
    """Matched 1- to 4-grams, total 1- to 4-grams, answer length, reference length."""
    chrf: Figure
    """Sentence chrF against the reference, 0 to 100."""

    @property
    def passes(self) -> bool:
        """True when the answer compiles, adheres and passes its tests: the headline."""
        return self.compiles and self.adheres and self.tests_passed


class Attempt(_Record):
    """One answer that a verified arm made on its way, with the verdict that it got."""

    turn: int
    """0 for the first candidates, 1 and 2 for repairs."""
    sample: int
    code: str
    verdict: Verdict
    complies: bool
    tokens: int


class TaskResult(_Record):
    """One answer to one task, with everything that was made of it."""

    task_id: str
    sample: int
    category: Category
    pattern_type: PatternType | None
    """None for general TypeScript."""
    prompt: str
    retrieved: tuple[str, ...]
    """Ids of the patterns that were shown with the prompt."""
    answer: Answer
    code: str
    how: How
    """How the code was found in the answer."""
    imports_added: tuple[str, ...]
    """Names whose imports were completed, because the answer had none at all."""
    verdict: Verdict
    test: TestResult
    score: TaskScore
    attempts: tuple[Attempt, ...] = ()
    """All candidates and repairs of a verified arm, in order; the delivered one among them."""

    @property
    def cluster(self) -> str:
        """What it is resampled with: its pattern type, or its task alone where there is none."""
        return self.pattern_type or f"task {self.task_id}"


class Totals(_Record):
    """A group of results in figures; of several samples of a task the first counts."""

    n: int
    """Tasks."""
    compiles: Proportion
    adheres: Proportion
    tests: Proportion
    passes: Proportion
    """All three at once."""
    bleu: Figure
    """Corpus BLEU, 0 to 100."""
    chrf: Figure
    """Mean of the sentences' chrF, 0 to 100."""


class Verification(_Record):
    """How a verified arm answers."""

    best_of: int = 4
    """Candidates per task; the best by verdict is kept."""
    repairs: int = 2
    """Most turns in which a candidate that does not comply is shown the compiler's messages."""
    temperature: float = 0.8
    """Of all candidates but the first, which is greedy."""


class ArmResult(_Record):
    """One arm of an evaluation: one model in one way of asking it."""

    name: str
    model: str
    """File name without its folder, or the model's name at its endpoint."""
    model_hash: str
    """SHA-256 of the file; for an endpoint the hash of its address and model name."""
    engine: str
    """What generated: `llama.cpp 0.3.36`, or the endpoint's host."""
    tasks_hash: str
    library_hash: str
    """What the checker compiled against and which rules it knew."""
    system_prompt: str
    options: GenerationOptions
    retrieved: int
    """Patterns shown with every prompt; 0 without retrieval."""
    verification: Verification | None
    results: tuple[TaskResult, ...]
    """In the order of the suite; of several samples each task's stand together."""
    overall: Totals
    per_category: dict[Category, Totals]
    per_pattern_type: dict[PatternType, Totals]
    bleu: Interval
    """Corpus BLEU with its bootstrap interval, clustered by pattern type."""
    chrf: Interval
    pass_at: dict[int, Interval]
    """k to pass@k over all samples; {1: ...} where there is one sample."""
    tokens: int
    """Generated, all candidates and repairs included."""
    generation_seconds: float
    """Wall time of generating."""
    tokens_per_second: Interval
    """Generated tokens by wall time, reading the prompts included, over all slots."""
    first_token_seconds: Interval
    """Mean time to the first token."""

    @property
    def first_samples(self) -> tuple[TaskResult, ...]:
        """One result for each task."""
        return tuple(result for result in self.results if result.sample == 0)


class RepositoryResult(_Record):
    """One function of the library, written anew by a model, on the library's own tests."""

    symbol: str
    """`package:name`."""
    file: str
    prompt: str
    answer: Answer
    code: str
    how: How
    passed: bool
    reason: str | None
    """Why it did not pass."""


class RepositoryArm(_Record):
    """How a model does on the functions of the snapshot whose own tests notice a wrong body."""

    name: str
    passed: Proportion
    results: tuple[RepositoryResult, ...]


class PastEvaluation(_Record):
    """The headline of one arm of an earlier evaluation on the same suite."""

    measured_at: str
    """ISO 8601 with offset."""
    commit: str
    arm: str
    model_hash: str
    passes: Proportion
    compiles: Proportion
    adheres: Proportion
    tests: Proportion
    bleu: Figure


class ParityReport(_Record):
    """Whether an exported GGUF answers like the adapter that it was made from."""

    template_equal: bool
    """Both render the same conversations to the same text."""
    stop_tokens_equal: bool
    """Both end an answer at the same tokens."""
    negative_log_likelihood_adapter: Figure
    """Mean nats per token of the references under the adapter."""
    negative_log_likelihood_gguf: Figure
    """The same under the GGUF."""
    tokens: int
    """Reference tokens that both were measured on."""
    difference_allowed: float
    """Most nats per token that quantization may cost."""
    token_difference: Figure
    """Mean absolute difference, in nats, of the reference tokens' log likelihoods: how far apart
    the two are, where the means above may agree by chance."""
    token_difference_allowed: float
    """Most of it that quantization may cost."""
    adapter: Totals
    """Scores of the adapter's answers."""
    gguf: Totals
    """Scores of the GGUF's answers to the same tasks."""
    tasks: int
    """Tasks that both answered."""
    holds: bool
    """What was found: the GGUF may stand for the adapter."""
    reason: str
    """Why it holds or does not, in one sentence."""


class Overlap(_Record):
    """A training sample that is too much like a task."""

    task_id: str
    sample: str
    """Id of the training sample."""
    jaccard: float
    """Of 5-token shingles, the larger of prompt against prompt and code against code."""
    shared: str
    """One 13-gram that both hold; empty where only the shingles agree."""


class ContaminationReport(_Record):
    """Which training samples overlap with the tasks, and what was done about it."""

    tasks: int
    samples: int
    """Compared."""
    removed: int
    """Samples kept out of training."""
    remaining: int
    """Samples that overlap and were trained on all the same; 0 unless something is wrong."""
    overlaps: tuple[Overlap, ...]
