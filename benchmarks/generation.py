"""How fast a model answers: `python -m benchmarks.generation MODEL [--slots 1 4 8 16 32]`.

Prints the machine, the date, and for each number of slots the tokens per second over the first
`--tasks` bundled tasks (all of it; without reading the prompts; reading alone), the mean time to
the first token, and tokens per second of processor time, which other work disturbs less.
Every answer is as long as `--tokens` unless the model ends it before. `--retrieved` adds as much
text to every prompt as that many retrieved patterns would.
"""

import argparse
import datetime as dt
import os
import platform
import time
from pathlib import Path

from qi_pipeline.evaluation.generation import llama_version
from qi_pipeline.evaluation.records import Message
from qi_pipeline.evaluation.tasks import bundled_suite, load_tasks
from qi_pipeline.processes import OPENMP_WAITING

# Waits like the evaluation's own process does; read when llama.cpp is loaded.
for variable, value in OPENMP_WAITING.items():
    os.environ.setdefault(variable, value)

SYSTEM_PROMPT = (
    "You write TypeScript that follows the library's conventions. Answer with one module."
)


def main() -> None:
    from qi_pipeline.evaluation.batched_model import (  # noqa: PLC0415 - after OPENMP_WAITING
        BatchedModel,
        Conversation,
        Decoding,
    )

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="GGUF file")
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 8, 16, 32])
    parser.add_argument("--tokens", type=int, default=128, help="most tokens of an answer")
    parser.add_argument("--tasks", type=int, default=32, help="conversations")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--retrieved", type=int, default=0, help="patterns added to a prompt")
    options = parser.parse_args()
    date = dt.datetime.now(dt.UTC).date().isoformat()
    print(
        f"{date}, {platform.platform()}, {processor()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}, llama.cpp {llama_version()}"
    )
    print(
        f"{options.model.name}, {options.threads} threads, up to {options.tokens} tokens "
        f"an answer, temperature {options.temperature}"
    )
    tasks = load_tasks(bundled_suite())
    decoding = Decoding(options.tokens, options.temperature, top_p=0.95)
    with BatchedModel(options.model, options.threads) as model:
        prompts = [
            model.tokenize(
                [
                    Message(role="system", content=SYSTEM_PROMPT),
                    Message(
                        role="user",
                        content="\n\n".join(
                            [
                                task.prompt,
                                *(other.reference for other in tasks[: options.retrieved]),
                            ]
                        ),
                    ),
                ]
            )
            for task in tasks
        ]
        for slots in options.slots:
            asked = [
                Conversation(tokens, seed) for seed, tokens in enumerate(prompts[: options.tasks])
            ]
            longest = max(len(conversation.tokens) for conversation in asked)
            model.open_context(slots, longest + options.tokens)
            start = time.process_time()
            began = time.perf_counter()
            completions = [completion for _, completion in model.answer(asked, decoding)]
            wall = time.perf_counter() - began
            processor_seconds = time.process_time() - start
            read = sum(completion.first_token_seconds for completion in completions)
            written = sum(completion.tokens for completion in completions)
            prompt_tokens = sum(len(conversation.tokens) for conversation in asked)
            first = read / len(asked)
            print(
                f"{slots:3} slots: {written / wall:6.1f} tokens/s "
                f"({written / (wall - read):6.1f} decoding, prompts {prompt_tokens / read:6.0f}), "
                f"{first:5.2f} s to the first token; {written} tokens written, "
                f"{written / processor_seconds:.1f} in a second of processor time"
            )


def processor() -> str:
    """Return the processor's name where the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
