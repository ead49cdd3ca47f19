"""Stages in forks of the preloaded process: as if each ran by itself, whatever ends first."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from specseq.launch import preloaded

ROOT = Path(__file__).parents[2]
CALL = """
import sys
from specseq.launch import preloaded
status = preloaded.run("tests.launch.asked", sys.argv[1:])
print("none") if status is None else sys.exit(status)
"""
pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="not on this system")


def environment(**more: str) -> dict[str, str]:
    decisive = {**dict.fromkeys(preloaded.DECISIVE, "1"), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    return {**os.environ, **decisive, **more}


Caller = Callable[..., "subprocess.Popen[str]"]


class Offered:
    """A preloaded process, started by a process of its own, which plays the workflow."""

    def __init__(self, folder: Path, modules: list[str], **more: str) -> None:
        self.log = folder / "preloaded.log"
        script = (
            "import os, sys; from pathlib import Path; from specseq.launch import preloaded\n"
            "print(preloaded.start(Path(sys.argv[1]), os.environ, sys.argv[2:]), flush=True)\n"
            "sys.stdin.read()"
        )
        self.workflow = subprocess.Popen(
            [sys.executable, "-c", script, str(self.log), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(**more),
        )
        assert self.workflow.stdout is not None
        self.address = self.workflow.stdout.readline().strip()

    def call(self, *arguments: str, **more: str) -> "subprocess.Popen[str]":
        """A caller with its arguments and additions to its environment."""
        return subprocess.Popen(
            [sys.executable, "-c", CALL, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.log.parent,
            env=environment(**{preloaded.ADDRESS: self.address, **more}),
        )

    def server(self) -> int:
        """The preloaded process."""
        pattern = Path(self.address).parent.name
        found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=True)
        # Forks have the command line of the process they are from, which is the oldest.
        return int(found.stdout.split()[0])


@pytest.fixture
def offered(tmp_path: Path) -> Iterator[Offered]:
    process = Offered(tmp_path, ["json"])
    yield process
    process.workflow.communicate("")


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def waiting(offered: Offered) -> tuple["subprocess.Popen[str]", int]:
    """A caller whose fork waits for signals, and the fork."""
    note = offered.log.with_name("fork")
    caller = offered.call("wait", str(note))
    eventually(lambda: note.exists() and bool(note.read_text()))
    return caller, int(note.read_text())


def alive(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_fork_is_where_its_caller_is(offered: Offered) -> None:
    for mark in ("one", "two"):
        caller = offered.call("look", "--x", MARK=mark)
        output, errors = caller.communicate("given")
        assert caller.returncode == 7
        where = [str(offered.log.parent), mark, "__main__", "given"]
        arguments, *rest = json.loads(output)
        assert (arguments[1:], rest, errors) == (["look", "--x"], where, "a fault\n")
    assert not offered.log.read_text()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_fork_gets_each_signal_of_its_caller_once(offered: Offered, signum: signal.Signals) -> None:
    caller, fork = waiting(offered)
    assert os.getsid(fork) == fork
    caller.send_signal(signum)
    output, _ = caller.communicate("")
    assert (output.strip(), caller.returncode) == (f"[{int(signum)}]", 128 + signum)


def test_a_killed_caller_takes_its_fork_along_and_no_other(offered: Offered) -> None:
    caller, fork = waiting(offered)
    caller.kill()
    caller.communicate("")
    eventually(lambda: not alive(fork))
    assert offered.call("look").communicate("")[0].startswith("[")


def test_a_killed_fork_is_reported_as_by_a_shell(offered: Offered) -> None:
    caller, fork = waiting(offered)
    os.kill(fork, signal.SIGKILL)
    caller.communicate("")
    assert caller.returncode == 128 + signal.SIGKILL


def test_without_the_process_callers_do_the_work(offered: Offered) -> None:
    caller, fork = waiting(offered)
    os.kill(offered.server(), signal.SIGKILL)
    _, errors = caller.communicate("")
    assert caller.returncode == 1
    assert errors == "error: the preloaded process has ended - run snakemake again\n"
    eventually(lambda: not alive(fork))
    assert offered.call("look").communicate("")[0] == "none\n"


def test_other_threads_or_paths_are_not_served(offered: Offered) -> None:
    assert offered.call("look", OMP_NUM_THREADS="2").communicate("")[0] == "none\n"
    assert offered.call("look", SPECSEQ_PRELOADED="").communicate("")[0] == "none\n"


def test_it_ends_with_the_last_fork_after_the_workflow(offered: Offered) -> None:
    caller, fork = waiting(offered)
    server = offered.server()
    offered.workflow.kill()
    eventually(lambda: offered.call("look").communicate("")[0] == "none\n")
    assert alive(server)
    os.kill(fork, signal.SIGTERM)
    caller.communicate("")
    assert caller.returncode == 128 + signal.SIGTERM
    eventually(lambda: not alive(server) and not Path(offered.address).parent.exists())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
            "2 threads",
        ),
        ("raise ImportError('lacks a library')", "lacks a library"),
    ],
)
def test_modules_that_cannot_be_preloaded(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "unsuitable.py").write_text(source)
    process = Offered(tmp_path, ["unsuitable"], PYTHONPATH=f"{environment()['PYTHONPATH']}:{tmp_path}")
    caller = process.call("look", PYTHONPATH=f"{environment()['PYTHONPATH']}:{tmp_path}")
    assert caller.communicate("")[0] == "none\n"
    process.workflow.communicate("")
    eventually(lambda: said in process.log.read_text())


def test_no_module_of_the_workflow_starts_a_thread_at_its_import(tmp_path: Path) -> None:
    process = Offered(tmp_path, list(preloaded.MODULES))
    assert process.call("look").communicate("")[0].startswith("[")
    assert not process.log.read_text()
    process.workflow.communicate("")
