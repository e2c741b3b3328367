"""Against a real HTTP server in a thread that speaks the OpenAI protocol, well or badly."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.answer_cache import Origin, read_answers
from qi_pipeline.evaluation.endpoint import Endpoint
from qi_pipeline.evaluation.generation import engine_of, generate_answers, model_digest
from qi_pipeline.evaluation.records import Answer, GenerationOptions, Message, Request

OPTIONS = GenerationOptions(max_tokens=50, slots=2, temperature=0.5, top_p=0.9, seed=3)
USAGE = {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18}


def event(
    content: str | None = None, *, finish: str | None = None, usage: dict[str, int] | None = None
) -> str:
    delta = {"role": "assistant"} if content is None else {"content": content}
    choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
    chunk = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        "usage": usage,
    }
    return f"data: {json.dumps(chunk)}\n\n"


def completion(text: str, finish: str = "stop", *, usage: bool = True) -> list[str]:
    """A whole stream: the role, the text in pieces of three characters, its end."""
    pieces = [event(text[start : start + 3]) for start in range(0, len(text), 3)]
    end = [event("", finish=finish), *([event(usage=USAGE)] if usage else []), "data: [DONE]\n\n"]
    return [event(), *pieces, *end]


@dataclass
class Reply:
    """What the server does for one prompt."""

    stream: Sequence[str] = ()
    status: int = 200
    body: str = ""
    cut: bool = False
    """The connection is closed before the body's announced end."""
    fails_first: int = 0
    """So many requests get status 503 before."""
    waits_for: threading.Event | None = None


@dataclass
class Server:
    """A server's address, what it answers to which prompt, and what it was asked."""

    url: str = ""
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def endpoint(self, model: str = "m") -> Endpoint:
        return Endpoint(self.url, model, api_key="secret-key")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.script.lock:
            self.script.asked.append(body)
            self.script.keys.append(self.headers["Authorization"])
            self.script.at_once += 1
            self.script.most_at_once = max(self.script.most_at_once, self.script.at_once)
        try:
            self._reply(self.script.replies[body["messages"][-1]["content"]])
        finally:
            with self.script.lock:
                self.script.at_once -= 1

    def _reply(self, reply: Reply) -> None:
        if reply.waits_for is not None:
            reply.waits_for.wait(60)
        if reply.fails_first > 0:
            reply.fails_first -= 1
            self._send(503, "text/plain", "busy")
        elif reply.stream:
            self._stream(reply)
        else:
            self._send(reply.status, "application/json", reply.body)

    def _send(self, status: int, kind: str, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _stream(self, reply: Reply) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for item in reply.stream:
            data = item.encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()
        if reply.cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    handler = type("ScriptedHandler", (Handler,), {"script": made})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        made.url = f"http://127.0.0.1:{http.server_port}/v1"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield made
        http.shutdown()
        thread.join()


def request(prompt: str, sample: int = 0) -> Request:
    return Request(
        task_id=f"task-{prompt}",
        sample=sample,
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content=prompt),
        ),
    )


def ask(
    endpoint: Endpoint, prompts: Sequence[str], cache: Path, shown: list[str] | None = None
) -> list[Answer]:
    lines: list[str] = [] if shown is None else shown
    asked = [request(prompt) for prompt in prompts]
    return list(generate_answers(endpoint, asked, OPTIONS, cache, lines.append))


def kept(endpoint: Endpoint, cache: Path) -> list[str]:
    origin = Origin(model_digest(endpoint), engine_of(endpoint), OPTIONS)
    return [answer.answer for answer in read_answers(origin.file(cache))[0].values()]


def test_answers_carry_what_the_server_reports(tmp_path: Path, server: Server) -> None:
    server.replies = {
        "a": Reply(completion("Ein längerer Satz.")),
        "b": Reply(completion("cut", "length")),
        "c": Reply(completion("")),
    }
    shown: list[str] = []
    first, second, third = ask(server.endpoint(), ["a", "b", "c"], tmp_path, shown)
    assert first.task_id == "task-a"
    assert first.answer == "Ein längerer Satz."
    assert (first.tokens, first.prompt_tokens, first.finish_reason) == (11, 7, "stop")
    assert 0 < first.first_token_seconds <= first.latency_seconds
    assert (second.answer, second.finish_reason) == ("cut", "length")
    assert (third.answer, third.slots) == ("", 1)
    assert third.first_token_seconds == third.latency_seconds
    wall = max(first.latency_seconds, second.latency_seconds)
    assert first.seconds + second.seconds == pytest.approx(wall)
    assert [line.split()[0] for line in shown] == ["2/3", "3/3"]
    assert shown[0].endswith("tokens/s")


def test_the_server_is_asked_with_every_option_and_the_key(tmp_path: Path, server: Server) -> None:
    server.replies = {"a": Reply(completion("x"))}
    ask(server.endpoint("my-model"), ["a"], tmp_path)
    (body,) = server.asked
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
    ]
    origin = Origin("", "", OPTIONS)
    assert {key: body[key] for key in ("model", "max_tokens", "temperature", "top_p", "seed")} == {
        "model": "my-model",
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": origin.question(request("a")).seed,
    }
    assert server.keys == ["Bearer secret-key"]
    assert not any("secret-key" in path.read_text() for path in tmp_path.rglob("*.jsonl"))


def test_without_usage_pieces_are_counted_and_the_line_says_so(
    tmp_path: Path, server: Server
) -> None:
    server.replies = {"a": Reply(completion("abcdefg", usage=False))}
    shown: list[str] = []
    (answer,) = ask(server.endpoint(), ["a"], tmp_path, shown)
    assert (answer.tokens, answer.prompt_tokens) == (3, 0)
    assert "no usage reported" in shown[0]


def test_as_many_requests_as_slots_are_under_way(tmp_path: Path, server: Server) -> None:
    gate = threading.Event()
    server.replies = {prompt: Reply(completion("x"), waits_for=gate) for prompt in "abcde"}
    answers: list[Answer] = []
    thread = threading.Thread(
        target=lambda: answers.extend(ask(server.endpoint(), "abcde", tmp_path))
    )
    thread.start()
    while server.at_once < OPTIONS.slots:
        thread.join(0.01)
        assert thread.is_alive()
    gate.set()
    thread.join()
    assert [answer.task_id for answer in answers] == [f"task-{prompt}" for prompt in "abcde"]
    assert server.most_at_once == OPTIONS.slots


def test_the_next_wave_is_under_way_while_the_caller_is_busy(
    tmp_path: Path, server: Server
) -> None:
    server.replies = {prompt: Reply(completion("x")) for prompt in "abcd"}
    asked = [request(prompt) for prompt in "abcd"]
    answers = generate_answers(server.endpoint(), asked, OPTIONS, tmp_path, print)
    next(answers)
    waiting = threading.Event()
    while len(server.asked) < 4:
        waiting.wait(0.01)
    assert len(list(answers)) == 3


def test_what_was_answered_is_never_asked_again(tmp_path: Path, server: Server) -> None:
    server.replies = {prompt: Reply(completion(prompt * 5)) for prompt in "abc"}
    first = ask(server.endpoint(), "ab", tmp_path)
    again = ask(server.endpoint(), "abc", tmp_path)
    assert again[:2] == first
    assert len(server.asked) == 3
    ask(server.endpoint("other"), "a", tmp_path)
    assert len(server.asked) == 4


def test_a_busy_server_is_asked_again(tmp_path: Path, server: Server) -> None:
    server.replies = {"a": Reply(completion("x"), fails_first=1)}
    (answer,) = ask(server.endpoint(), "a", tmp_path)
    assert answer.answer == "x"
    assert len(server.asked) == 2


def test_a_failure_keeps_what_else_the_wave_brought(tmp_path: Path, server: Server) -> None:
    server.replies = {
        "a": Reply(status=400, body='{"error": {"message": "too long"}}'),
        "b": Reply(completion("fine")),
        "c": Reply(completion("never asked")),
    }
    with pytest.raises(QiPipelineError, match=r"task task-a: .* answered 400 .*too long"):
        ask(server.endpoint(), "abc", tmp_path)
    assert kept(server.endpoint(), tmp_path) == ["fine"]
    server.replies["a"] = Reply(completion("short"))
    answers = ask(server.endpoint(), "abc", tmp_path)
    assert {answer.task_id: answer.answer for answer in answers} == {
        "task-a": "short",
        "task-b": "fine",
        "task-c": "never asked",
    }


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (Reply(status=401, body='{"error": {"message": "bad key"}}'), r"answered 401.*API key"),
        (
            Reply(status=404, body='{"error": {"message": "no m"}}'),
            r"404 for model 'm'.*no m.*name",
        ),
        (Reply(status=200, body="<html>hello</html>"), "sent no chat completion"),
        (Reply(status=200, body='{"choices": []}'), "sent no chat completion"),
        (Reply(["data: this is no JSON\n\n"]), "sent no chat completion"),
        (Reply(["data: 5\n\n"]), "sent no chat completion"),
        (Reply(['data: {"hello": 1}\n\n']), "sent no chat completion"),
        (Reply(['data: {"choices": [{"delta": 3}]}\n\n']), "sent no chat completion"),
        (Reply(completion("x", "tool_calls")), "'tool_calls', expected one of stop"),
        (Reply(['data: {"error": {"message": "out of memory"}}\n\n']), "out of memory"),
        (Reply(completion("abcdef")[:2], cut=True), "broke off after 1 pieces"),
        (Reply(completion("abcdef")[:3]), "broke off after 2 pieces"),
    ],
)
def test_what_a_server_does_wrong_is_named(
    tmp_path: Path, server: Server, reply: Reply, complaint: str
) -> None:
    server.replies = {"a": reply}
    with pytest.raises(QiPipelineError, match=complaint) as caught:
        ask(server.endpoint(), "a", tmp_path)
    assert str(caught.value).startswith(f"task task-a: {server.url} ")
    assert "secret-key" not in str(caught.value)
    assert kept(server.endpoint(), tmp_path) == []


def test_a_refused_connection_is_named(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(QiPipelineError, match=r"task-a: http://127.* cannot be reached .*refused"):
        ask(Endpoint(url, "m"), "a", tmp_path)


@pytest.mark.parametrize("url", ["localhost:8080/v1", "ftp://host/v1", "http:///v1", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(QiPipelineError, match="is no endpoint"):
        Endpoint(url, "m")
