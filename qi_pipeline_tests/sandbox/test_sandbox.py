"""Attacks on the walls themselves: Node.js without any of its own denials."""

import dataclasses
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.sandbox.limits import MODULE_LIMITS, Limits
from qi_pipeline.sandbox.sandbox import (
    SCRATCH,
    Enforcement,
    Sandbox,
    SandboxRefusedError,
    find_node,
)
from qi_pipeline.sandbox.supervisor import ProcessOutcome, memory_of_descendants
from qi_pipeline_tests.sandbox.conftest import TOOLCHAIN, Mark

ROOT = Path(__file__).parents[2]
BRIEF = dataclasses.replace(MODULE_LIMITS, wall_seconds=3.0)
# `attempt` collects what an attack was told; the last line of output is the collection.
PRELUDE = """
const fs = require("node:fs");
const child_process = require("node:child_process");
const told = {};
const MARK = process.argv[1];
const attempt = (name, action) => {
  try { told[name] = String(action()); } catch (error) { told[name] = error.code ?? error.message; }
};
const say = () => console.log(JSON.stringify(told));
"""


def run_node(
    code: str,
    mark: Mark,
    *,
    limits: Limits = MODULE_LIMITS,
    readable: list[Path] | None = None,
    flags: tuple[str, ...] = (),
) -> ProcessOutcome:
    outcome = Sandbox().run(
        [find_node(), *flags, "-e", PRELUDE + code, mark.word],
        readable=readable or [],
        directory=SCRATCH,
        limits=limits,
    )
    assert mark.processes() == []
    return outcome


def told(outcome: ProcessOutcome) -> dict[str, Any]:
    assert outcome.succeeded, outcome
    answer: dict[str, Any] = json.loads(outcome.stdout.splitlines()[-1])
    return answer


def test_a_command_reads_what_it_may_and_answers(tmp_path: Path, mark: Mark) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "a.txt").write_text("readable")
    shown.chmod(0o755)
    code = f'told.text = fs.readFileSync("{shown}/a.txt", "utf8"); say();'
    assert told(run_node(code, mark, readable=[shown])) == {"text": "readable"}


def test_standard_input_reaches_the_command() -> None:
    outcome = Sandbox().run(
        [find_node(), "-e", "process.stdin.pipe(process.stdout)"],
        readable=[], directory=SCRATCH, limits=MODULE_LIMITS, stdin=b"x" * 200_000,
    )  # fmt: skip
    assert outcome.stdout == "x" * 200_000


def test_the_exit_status_is_the_commands_own(mark: Mark) -> None:
    outcome = run_node("process.exit(7)", mark)
    assert (outcome.ending, outcome.code, outcome.succeeded) == ("exited", 7, False)


def test_files_of_the_machine_are_absent(tmp_path: Path, mark: Mark) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    places = [
        "/etc/passwd", str(Path.home()), str(secret), str(ROOT), "/root", "/home", "/proc/1",
        "/proc/self/mem", "/proc/self/environ", "/sys", "/run", "/var", "/usr/bin/env",
    ]  # fmt: skip
    code = (
        f"for (const place of {json.dumps(places)}) attempt(place, () => fs.statSync(place));say();"
    )
    assert set(told(run_node(code, mark)).values()) == {"ENOENT"}


def test_links_and_parent_folders_lead_nowhere(tmp_path: Path, mark: Mark) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (shown / "planted").symlink_to(tmp_path / "secret.txt")
    shown.chmod(0o755)
    code = f"""
      attempt("planted", () => fs.readFileSync("{shown}/planted"));
      attempt("parent", () => fs.readFileSync("{shown}/../secret.txt"));
      fs.symlinkSync("/etc/passwd", "/tmp/own");
      attempt("own", () => fs.readFileSync("/tmp/own"));
      attempt("old root", () => fs.readdirSync("/.old"));
      say();"""
    assert set(told(run_node(code, mark, readable=[shown])).values()) == {"ENOENT"}


def test_nothing_outside_the_scratch_folder_is_written(tmp_path: Path, mark: Mark) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "a.txt").write_text("as it was")
    shown.chmod(0o777)
    (shown / "a.txt").chmod(0o666)
    code = f"""
      const places = ["/new", "/lib/new", "{shown}/new", "{shown}/a.txt", "/dev/new", "/proc/stat"];
      for (const place of places) attempt(place, () => fs.writeFileSync(place, "changed"));
      attempt("remove", () => fs.unlinkSync("{shown}/a.txt"));
      fs.writeFileSync("/tmp/mine", "1");
      attempt("own", () => fs.readFileSync("/tmp/mine"));
      say();"""
    answers = told(run_node(code, mark, readable=[shown]))
    assert answers.pop("own") == "1"
    assert set(answers.values()) <= {"EROFS", "EACCES"}
    assert [(place.name, place.read_text()) for place in shown.iterdir()] == [
        ("a.txt", "as it was")
    ]
    assert not Path("/tmp/mine").exists()  # noqa: S108


def test_the_environment_of_the_caller_is_not_there(
    mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QI_SECRET", "secret")
    answers = told(run_node("Object.assign(told, process.env);say();", mark))
    assert answers.keys() == {"HOME", "TMPDIR", "LANG", "TZ"}


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


def test_no_socket_reaches_the_machine_or_the_world(
    listener: socket.socket, tmp_path: Path, mark: Mark
) -> None:
    port = listener.getsockname()[1]
    place = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(place))
        local.listen()
        code = f"""
          const net = require("node:net");
          const failed = (name, socket) => new Promise((resolve) => {{
            socket.on("error", (error) => {{ told[name] = error.code; resolve(); }});
            socket.on("connect", () => {{ told[name] = "connected"; resolve(); }});
          }});
          const udp = require("node:dgram").createSocket("udp4");
          const sent = new Promise((resolve) => udp.send("x", 53, "1.1.1.1", (error) => {{
            told.udp = error?.code ?? "sent"; udp.close(); resolve();
          }}));
          Promise.all([
            failed("tcp", net.connect({port}, "127.0.0.1")),
            failed("world", net.connect(80, "1.1.1.1")),
            failed("unix", net.connect("{place}")),
            sent,
            require("node:dns").promises.lookup("example.org").then(
              () => (told.dns = "found"), (error) => (told.dns = error.code)),
            fetch("http://127.0.0.1:{port}").then(
              () => (told.fetch = "found"), (error) => (told.fetch = error.cause.code)),
          ]).then(say);"""
        answers = told(run_node(code, mark))
    assert answers == {
        "tcp": "ENETUNREACH", "world": "ENETUNREACH", "unix": "ENOENT", "udp": "ENETUNREACH",
        "dns": "EAI_AGAIN", "fetch": "ENETUNREACH",
    }  # fmt: skip
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_an_abstract_socket_of_the_machine_is_not_there(mark: Mark) -> None:
    name = f"\0{mark.word}"
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(name)
        local.listen()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(name)
        python = Path("/usr/bin/python3")
        if not python.exists():
            pytest.skip("needs a Python of the operating system to open abstract sockets")
        code = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
        outcome = Sandbox().run(
            [python, "-I", "-S", "-c", code],
            readable=[], directory=SCRATCH, limits=MODULE_LIMITS,
        )  # fmt: skip
    assert "ConnectionRefusedError" in outcome.stderr


def test_programs_of_the_machine_cannot_be_started(mark: Mark) -> None:
    code = """
      for (const name of ["/bin/sh", "/usr/bin/env", "sh", "curl"])
        attempt(name, () => child_process.execFileSync(name));
      fs.copyFileSync(process.execPath, "/tmp/node");
      fs.chmodSync("/tmp/node", 0o755);
      attempt("copied", () => child_process.execFileSync("/tmp/node", ["-v"]));
      say();"""
    limits = dataclasses.replace(
        MODULE_LIMITS, scratch_bytes=256 << 20, file_bytes=256 << 20, memory_bytes=1 << 30
    )
    answers = told(run_node(code, mark, limits=limits))
    assert answers.pop("copied") == "EACCES"
    assert set(answers.values()) == {"ENOENT"}


def test_native_code_is_not_loaded_from_the_scratch_folder(mark: Mark) -> None:
    addon = next((TOOLCHAIN / "node_modules" / "@rollup").glob("rollup-*/*.node"))
    code = f"""
      fs.copyFileSync("{addon}", "/tmp/copied.node");
      try {{ process.dlopen({{ exports: {{}} }}, "/tmp/copied.node"); told.copied = "loaded"; }}
      catch (error) {{ told.copied = error.message; }}
      say();"""
    answers = told(run_node(code, mark, readable=[addon]))
    assert "failed to map segment" in answers["copied"]
    denied = f'attempt("addon", () => process.dlopen({{ exports: {{}} }}, "{addon}"));say();'
    answers = told(run_node(denied, mark, readable=[addon], flags=("--no-addons",)))
    assert answers == {"addon": "ERR_DLOPEN_DISABLED"}


def test_no_process_outside_is_seen_or_killed(mark: Mark) -> None:
    victim = subprocess.Popen(["sleep", "1000"])
    try:
        code = f"""
          told.ids = [process.pid, process.ppid];
          attempt("victim", () => process.kill({victim.pid}, 9));
          attempt("supervisor", () => process.kill({os.getpid()}, 9));
          attempt("parent", () => process.kill(process.ppid, 9));
          attempt("first", () => process.kill(1, 9));
          attempt("all", () => process.kill(-1, 9));
          say();"""
        answers = told(run_node(code, mark))
        assert answers["ids"] == [1, 0]
        assert answers["victim"] == answers["supervisor"] == "ESRCH"
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_a_background_process_ends_with_the_command(mark: Mark) -> None:
    code = """
      const options = { detached: true, stdio: "ignore" };
      const started = child_process.spawn(
        process.execPath, ["-e", "setInterval(() => 0, 1000)", MARK], options);
      started.unref();
      started.on("spawn", () => { console.log("started"); process.exit(0); });"""
    assert run_node(code, mark).stdout == "started\n"


def test_a_background_process_that_holds_the_output_open_ends_too(mark: Mark) -> None:
    code = """
      const options = { detached: true, stdio: "inherit" };
      child_process.spawn(process.execPath, ["-e", "setInterval(() => 0, 1000)", MARK], options)
        .on("spawn", () => process.exit(3));"""
    assert run_node(code, mark).code == 3


@pytest.mark.parametrize(
    "code",
    ["for (;;);", '/^(a+)+$/.test("a".repeat(64) + "!")', "setInterval(() => 0, 1000)",
     "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
     'for (const name of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(name, () => 0); for (;;);'],
)  # fmt: skip
def test_an_endless_run_is_ended(code: str, mark: Mark) -> None:
    outcome = run_node(code, mark, limits=BRIEF)
    assert (outcome.ending, outcome.code) == ("timed_out", None)


def test_processor_time_is_limited_by_itself(mark: Mark) -> None:
    limits = dataclasses.replace(MODULE_LIMITS, cpu_seconds=1, wall_seconds=120.0)
    assert run_node("for (;;);", mark, limits=limits).ending == "timed_out"


def test_a_fork_bomb_stays_small(mark: Mark) -> None:
    code = """
      const options = { detached: true, stdio: "ignore" };
      const bomb = ["-e", "for (;;);", MARK];
      const refused = new Set();
      const again = () => {
        child_process.spawn(process.execPath, bomb, options)
          .on("error", (error) => refused.add(error.code) && console.log(error.code));
        setImmediate(again);
      };
      again();"""
    counts = []
    over = threading.Event()

    def count() -> None:
        while not over.wait(0.1):
            counts.append(len(mark.processes()))

    watcher = threading.Thread(target=count)
    watcher.start()
    try:
        outcome = run_node(code, mark, limits=BRIEF)
    finally:
        over.set()
        watcher.join()
    assert outcome.ending in {"timed_out", "out_of_memory", "too_much_output"}
    assert "EAGAIN" in outcome.stdout
    # The launcher and the first process carry the word as well.
    assert 3 <= max(counts) <= MODULE_LIMITS.processes + 2


@pytest.mark.parametrize(
    "code",
    ["const kept = []; for (;;) kept.push(Buffer.alloc(1e7, 1));",
     "const kept = []; for (;;) kept.push({ kept });",
     """const kept = [];
     for (;;) {
       const memory = new WebAssembly.Memory({ initial: 160 });
       new Uint8Array(memory.buffer).fill(1);
       kept.push(memory);
     }""",
     'let text = "x"; for (;;) text = JSON.stringify([text, text]);'],
)  # fmt: skip
def test_a_memory_bomb_is_ended(code: str, mark: Mark) -> None:
    limits = dataclasses.replace(MODULE_LIMITS, wall_seconds=120.0, cpu_seconds=100)
    outcome = run_node(code, mark, limits=limits)
    assert not outcome.succeeded
    assert outcome.ending != "timed_out"


def test_memory_is_summed_over_processes(mark: Mark) -> None:
    code = """
      const hold = "const b = Buffer.alloc(150e6, 1); setInterval(() => b[0], 1000)";
      for (let n = 0; n < 3; n += 1)
        child_process.spawn(process.execPath, ["-e", hold, MARK], { stdio: "ignore" });"""
    limits = dataclasses.replace(
        MODULE_LIMITS, memory_bytes=400 << 20, wall_seconds=120.0, processes=100
    )
    assert run_node(code, mark, limits=limits).ending == "out_of_memory"


def test_a_process_that_ended_has_no_memory() -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    assert memory_of_descendants(done.pid) == 0


def test_a_flood_of_output_is_cut_off(mark: Mark) -> None:
    outcome = run_node('for (;;) fs.writeSync(1, "x".repeat(60000));', mark)
    assert outcome.ending == "too_much_output"
    assert len(outcome.stdout) < 2 * MODULE_LIMITS.output_bytes


def test_the_scratch_folder_fills_up_and_the_disk_does_not(mark: Mark) -> None:
    code = """
      const fill = (text) => { for (let n = 0; ; n += 1) fs.writeFileSync(`/tmp/${n}`, text); };
      attempt("many", () => fill("x".repeat(1e6)));
      for (const name of fs.readdirSync("/tmp")) fs.unlinkSync(`/tmp/${name}`);
      attempt("names", () => fill(""));
      say();"""
    before = shutil.disk_usage("/tmp").used  # noqa: S108
    answers = told(run_node(code, mark))
    assert answers == {"many": "ENOSPC", "names": "ENOSPC"}
    assert shutil.disk_usage("/tmp").used - before < 1 << 30  # noqa: S108


def test_a_large_file_ends_the_process(mark: Mark) -> None:
    limits = dataclasses.replace(MODULE_LIMITS, scratch_bytes=64 << 20)
    code = 'for (;;) fs.appendFileSync("/tmp/large", Buffer.alloc(1e6));'
    outcome = run_node(code, mark, limits=limits)
    assert not outcome.succeeded
    assert outcome.ending != "timed_out"


def test_no_namespace_can_be_made_inside() -> None:
    program = shutil.which("unshare")
    assert program is not None, "util-linux is part of every Linux"
    for flags in (["--user", "--map-root-user"], ["--net"], ["--mount"]):
        outcome = Sandbox().run(
            [program, *flags, "/usr/bin/true"],
            readable=[Path("/usr/bin/true")], directory=SCRATCH, limits=MODULE_LIMITS,
        )  # fmt: skip
        assert "unshare failed: Operation not permitted" in outcome.stderr


def test_workers_share_the_walls(mark: Mark) -> None:
    code = """
      const { Worker } = require("node:worker_threads");
      const inside = `const { parentPort } = require("node:worker_threads");
        try { require("node:fs").readFileSync("/etc/passwd"); parentPort.postMessage("read"); }
        catch (error) { parentPort.postMessage(error.code); }`;
      new Worker(inside, { eval: true }).on("message", (text) => { told.worker = text; say(); });"""
    assert told(run_node(code, mark)) == {"worker": "ENOENT"}


def test_the_run_ends_when_its_supervisor_is_killed(mark: Mark) -> None:
    code = f"""
from qi_pipeline.sandbox.limits import MODULE_LIMITS
from qi_pipeline.sandbox.sandbox import SCRATCH, Sandbox, find_node
Sandbox().run([find_node(), "-e", "setInterval(() => 0, 1000)", {mark.word!r}],
              readable=[], directory=SCRATCH, limits=MODULE_LIMITS)
"""
    supervisor = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    # The supervisor, the launcher and Node.js.
    while len(mark.processes()) < 3:
        assert supervisor.poll() is None
        time.sleep(0.05)
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    assert mark.gone()


def run_on_a_refusing_machine(sysctl: str, value: int, enforcement: str) -> str:
    """Run the sandbox where the kernel really refuses; return what it said."""
    code = f"""
from qi_pipeline.sandbox.limits import MODULE_LIMITS
from qi_pipeline.sandbox.sandbox import (
    SCRATCH,
    Enforcement,
    Sandbox,
    SandboxRefusedError,
    find_node,
)
try:
    print(Sandbox({enforcement!r}).run([find_node(), "-e", "console.log('ran')"], readable=[],
                               directory=SCRATCH, limits=MODULE_LIMITS).stdout)
except SandboxRefusedError as error:
    print("refused", error.layer, "|", error)
"""
    script = f'echo {value} > /proc/sys/user/{sysctl} && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script, sys.executable, code],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("sysctl", "value", "layer", "mend"),
    [
        ("max_user_namespaces", 0, "user namespace", "unprivileged_userns_clone"),
        ("max_user_namespaces", 1, "identity", "max_user_namespaces"),
        ("max_net_namespaces", 0, "namespaces", "permits unshare"),
        ("max_pid_namespaces", 0, "namespaces", "permits unshare"),
    ],
)
def test_a_machine_that_refuses_a_layer_runs_nothing(
    sysctl: str, value: int, layer: str, mend: str
) -> None:
    said = run_on_a_refusing_machine(sysctl, value, "required")
    assert said.startswith(f"refused {layer} |")
    assert mend in said
    assert "nothing untrusted was run" in said


def test_an_ordinary_user_of_a_user_namespace_has_all_layers() -> None:
    assert run_on_a_refusing_machine("max_user_namespaces", 100, "required") == "ran\n\n"


def test_a_person_may_do_without_the_walls() -> None:
    assert run_on_a_refusing_machine("max_user_namespaces", 0, "off") == "ran\n\n"


def test_without_walls_the_limits_and_the_empty_environment_remain(
    mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QI_SECRET", "secret")
    code = """
      console.log(Object.keys(process.env).join());
      const hold = ["-e", "setInterval(() => 0, 1000)", process.argv[1]];
      require("node:child_process").spawn(process.execPath, hold);"""
    outcome = Sandbox("off").run(
        [find_node(), "-e", code, mark.word],
        readable=[], directory=SCRATCH, limits=BRIEF,
    )  # fmt: skip
    assert outcome.ending == "timed_out"
    assert outcome.stdout == "HOME,TMPDIR,LANG,TZ\n"
    assert mark.gone()


@pytest.mark.parametrize("enforcement", ["required", "off"])
def test_processes_are_counted_where_they_are_the_commands_own(enforcement: Enforcement) -> None:
    code = "console.log(process.report.getReport().userLimits.max_user_processes.soft)"
    outcome = Sandbox(enforcement).run(
        [find_node(), "-e", code], readable=[], directory=SCRATCH, limits=BRIEF
    )
    outside = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    unlimited = "unlimited" if outside == resource.RLIM_INFINITY else str(outside)
    expected = str(BRIEF.processes) if enforcement == "required" else unlimited
    assert outcome.stdout.strip() == expected


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxRefusedError, match="run it on Linux") as caught:
        Sandbox().run([find_node()], readable=[], directory=SCRATCH, limits=MODULE_LIMITS)
    assert caught.value.layer == "platform"


def test_a_readable_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match=r"missing.*does not exist"):
        Sandbox().run(
            [find_node()], readable=[tmp_path / "missing"],
            directory=SCRATCH, limits=MODULE_LIMITS,
        )  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user stays the same user inside")
def test_root_is_told_about_folders_that_only_root_may_read(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(QiPipelineError, match="chmod -R"):
        Sandbox().run([find_node()], readable=[closed], directory=SCRATCH, limits=MODULE_LIMITS)
