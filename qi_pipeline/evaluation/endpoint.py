"""Ask a model behind an address that speaks the OpenAI API.

Flows in: an endpoint, questions and options. Flows out: answers, appended to a file a wave at a
time, and a progress line per wave. What is on the other side may change without a trace here, and
draws as its server does: the seed that is sent along is a wish. Deciding what to ask does not
belong here.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.answer_cache import (
    Question,
    answers_to_append,
    append_answers,
    progress,
    read_answers,
)
from qi_pipeline.evaluation.records import Answer, FinishReason, GenerationOptions

if TYPE_CHECKING:
    from openai import OpenAI

_MENDS = {
    401: "give the endpoint's API key",
    403: "give an API key that may use this model",
    404: "check the model's name, and that the URL is the one before /chat/completions",
    429: "ask with fewer slots, or later",
}
_FINISHED: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    # A filter cuts an answer off as a limit does.
    "content_filter": "length",
}


@dataclass(frozen=True)
class Endpoint:
    """A model that a server offers."""

    url: str
    """Up to and with `/v1`."""
    model: str
    """As the server calls it."""
    api_key: str = field(default="none", repr=False)
    """Sent along; never written down. Servers of one's own mostly ask for none."""

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise QiPipelineError(
                f"{self.url!r} is no endpoint; expected an address like http://localhost:8080/v1"
            )

    @property
    def host(self) -> str:
        """Return host and port."""
        address = urlsplit(self.url)
        port = f":{address.port}" if address.port else ""
        return f"{address.hostname}{port}"


@dataclass(frozen=True)
class _Reply:
    """What came back for one question; times count from the start of its wave."""

    text: str
    tokens: int
    prompt_tokens: int
    reports_usage: bool
    finish_reason: FinishReason
    first_token_seconds: float
    latency_seconds: float


def ask_endpoint(
    endpoint: Endpoint,
    questions: Sequence[Question],
    options: GenerationOptions,
    path: Path,
    total: int,
) -> Generator[str]:
    """Append an answer to every question to the file; yield a line whenever a wave is on the disk.

    `options.slots` questions are asked at a time, and the next ones while the caller looks at the
    line. The server's window limits a conversation, not `options.n_ctx`. Where the server reports
    no usage, each piece of the stream counts as a token and a prompt as none, and the line says so.
    Connections that fail, and statuses 408, 409, 429 and 5xx, are tried again as the openai package
    does, twice; a stream that breaks off is not. Raises QiPipelineError then; what else the wave
    brought is kept.
    """
    from openai import OpenAI  # noqa: PLC0415 - heavy

    with answers_to_append(path) as stream:
        # Another process may have finished some between the caller's look and this lock.
        kept = read_answers(path)[0]
        missing = [question for question in questions if question.key not in kept]
        client = OpenAI(base_url=endpoint.url, api_key=endpoint.api_key)
        pool = ThreadPoolExecutor(options.slots, thread_name_prefix="endpoint")
        try:
            yield from _ask_in_waves(client, endpoint, missing, options, pool, stream, total)
        finally:
            # Ends what is under way when the caller wants no more.
            client.close()
            pool.shutdown(wait=False, cancel_futures=True)


def _ask_in_waves(
    client: "OpenAI",
    endpoint: Endpoint,
    questions: Sequence[Question],
    options: GenerationOptions,
    pool: ThreadPoolExecutor,
    stream: IO[bytes],
    total: int,
) -> Iterator[str]:
    def submit(wave: Sequence[Question]) -> list[Future[_Reply]]:
        start = time.perf_counter()
        return [pool.submit(_ask, client, endpoint, item, options, start) for item in wave]

    finished = total - len(questions)
    under_way: tuple[Sequence[Question], list[Future[_Reply]]] | None = None
    for wave in chain(_waves(questions, options.slots), [None]):
        line = None
        if under_way is not None:
            asked, futures = under_way
            replies = _keep(asked, futures, stream)
            finished += len(asked)
            line = _line(replies, finished, total)
        # Before the caller is given the line: it is answered while the caller scores.
        under_way = None if wave is None else (wave, submit(wave))
        if line is not None:
            yield line


def _keep(
    wave: Sequence[Question], futures: Sequence["Future[_Reply]"], stream: IO[bytes]
) -> list[_Reply]:
    """Write what a wave brought; raise its first failure afterwards."""
    failures = [error for future in futures if (error := future.exception()) is not None]
    replied = {
        question: future.result()
        for question, future in zip(wave, futures, strict=True)
        if future.exception() is None
    }
    replies = list(replied.values())
    if replies:
        wall_seconds = max(reply.latency_seconds for reply in replies)
        tokens = sum(reply.tokens for reply in replies)
        answers = {
            question.key: Answer(
                task_id=question.task_id,
                sample=question.sample,
                answer=reply.text,
                tokens=reply.tokens,
                prompt_tokens=reply.prompt_tokens,
                seconds=_share_of_wall(reply.tokens, tokens, len(replies), wall_seconds),
                latency_seconds=reply.latency_seconds,
                first_token_seconds=reply.first_token_seconds,
                finish_reason=reply.finish_reason,
                slots=len(wave),
            )
            for question, reply in replied.items()
        }
        append_answers(stream, answers)
    if failures:
        raise failures[0]
    return replies


def _line(replies: Sequence[_Reply], finished: int, total: int) -> str:
    wall_seconds = max(reply.latency_seconds for reply in replies)
    line = progress(sum(reply.tokens for reply in replies), finished, total, wall_seconds)
    if all(reply.reports_usage for reply in replies):
        return line
    return f"{line} (no usage reported: pieces of the stream counted, prompts as 0 tokens)"


def _ask(
    client: "OpenAI",
    endpoint: Endpoint,
    question: Question,
    options: GenerationOptions,
    wave_start: float,
) -> _Reply:
    from openai import APIConnectionError, APIError, APIStatusError  # noqa: PLC0415 - heavy

    where = f"task {question.task_id}: {endpoint.url}"
    pieces: list[str] = []
    try:
        return _read_reply(client, endpoint, question, options, wave_start, pieces)
    except APIStatusError as error:
        mend = _MENDS.get(error.status_code, "see the server's log")
        raise QiPipelineError(
            f"{where} answered {error.status_code} for model {endpoint.model!r} "
            f"({error.message}); {mend}"
        ) from error
    except APIConnectionError as error:
        if pieces:
            raise QiPipelineError(_broken_off(where, pieces)) from error
        raise QiPipelineError(
            f"{where} cannot be reached ({error.__cause__ or error.message}); start the server or "
            "check the address"
        ) from error
    except (APIError, ValueError, TypeError, AttributeError) as error:
        # The package builds its records from whatever a stream holds, unchecked.
        raise QiPipelineError(
            f"{where} sent no chat completion ({error}); is it an OpenAI-compatible address up to "
            "/v1?"
        ) from error


def _broken_off(where: str, pieces: Sequence[str]) -> str:
    return (
        f"{where} broke off after {len(pieces)} pieces of an answer; run again: finished answers "
        "are kept"
    )


def _read_reply(
    client: "OpenAI",
    endpoint: Endpoint,
    question: Question,
    options: GenerationOptions,
    wave_start: float,
    pieces: list[str],
) -> _Reply:
    """Read one streamed completion; `pieces` grows meanwhile."""
    messages: Any = [message.model_dump() for message in question.messages]
    first_token_seconds: float | None = None
    reason: str | None = None
    usage: Any = None
    with client.chat.completions.create(
        model=endpoint.model,
        messages=messages,
        # Not max_completion_tokens, which servers of one's own do not all know.
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=question.seed,
        stream=True,
        stream_options={"include_usage": True},
    ) as chunks:
        for chunk in chunks:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                if choice.delta.content:
                    if first_token_seconds is None:
                        first_token_seconds = time.perf_counter() - wave_start
                    pieces.append(choice.delta.content)
                reason = choice.finish_reason or reason
    latency_seconds = time.perf_counter() - wave_start
    where = f"task {question.task_id}: {endpoint.url}"
    if reason is None and pieces:
        raise QiPipelineError(_broken_off(where, pieces))
    if reason not in _FINISHED:
        raise ValueError(f"it ended with {reason!r}, expected one of {', '.join(_FINISHED)}")
    return _Reply(
        text="".join(pieces),
        tokens=len(pieces) if usage is None else usage.completion_tokens,
        prompt_tokens=0 if usage is None else usage.prompt_tokens,
        reports_usage=usage is not None,
        finish_reason=_FINISHED[reason],
        first_token_seconds=latency_seconds if first_token_seconds is None else first_token_seconds,
        latency_seconds=latency_seconds,
    )


def _waves(questions: Sequence[Question], slots: int) -> Iterator[Sequence[Question]]:
    """Cut questions into waves, in their order."""
    for start in range(0, len(questions), slots):
        yield questions[start : start + slots]


def _share_of_wall(tokens: int, all_tokens: int, answers: int, wall_seconds: float) -> float:
    """Return an answer's share of its wave's wall time: by tokens, or equal if there are none."""
    return wall_seconds * (tokens / all_tokens if all_tokens else 1 / answers)
