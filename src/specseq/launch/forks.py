"""The process whose forks do the work of stages; see :mod:`specseq.launch.preloaded`."""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specseq.launch.preloaded import DECISIVE, HEADER, STATUS

# Seconds within which a caller must send its request.
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Child:
    """A fork at work and the connection to its caller."""

    pid: int
    connection: socket.socket


class Server:
    """Accepts requests and forks."""

    def __init__(self, listener: socket.socket, modules: Sequence[str]) -> None:
        self.listener, self.modules, self.selector = listener, modules, selectors.DefaultSelector()
        self.loaded, self.children = False, 0
        self.selector.register(listener, selectors.EVENT_READ)
        self.selector.register(sys.stdin, selectors.EVENT_READ)

    def serve(self) -> Mapping[str, Any] | None:
        """In a fork, the request that it is to serve; in this process, None once no more can come."""
        while self.listener.fileno() >= 0 or self.children:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    if request := self._accept():
                        return request
                elif key.fileobj is sys.stdin:
                    self.selector.unregister(sys.stdin)
                    self.selector.unregister(self.listener)
                    self.listener.close()
                elif isinstance(key.fileobj, socket.socket):
                    self._pass_on(key.data)
                else:
                    self._reap(key.fileobj, key.data)
        return None

    def _accept(self) -> Mapping[str, Any] | None:
        connection, _ = self.listener.accept()
        files: list[int] = []
        try:
            connection.settimeout(PATIENCE_S)
            header, files, *_ = socket.recv_fds(connection, HEADER.size, 3)
            with connection.makefile("rb") as stream:
                request: dict[str, Any] = json.loads(stream.read(HEADER.unpack(header)[0]))
        except Exception:
            # The caller has gone, or is none.
            _close(connection, files)
            return None
        environment = request["environment"]
        if any(environment.get(name) != os.environ.get(name) for name in DECISIVE):
            _close(connection, files)
            return None
        self._load()
        pid = os.fork()
        if not pid:
            self._leave(connection)
            _become(request, files)
            return request
        self.children += 1
        child = Child(pid, connection)
        self.selector.register(os.pidfd_open(pid), selectors.EVENT_READ, child)
        self.selector.register(connection, selectors.EVENT_READ, child)
        with contextlib.suppress(OSError):
            connection.sendall(HEADER.pack(pid))
        _close(None, files)
        return None

    def _load(self) -> None:
        if self.loaded:
            return
        for module in self.modules:
            importlib.import_module(module)
        if (threads := len(os.listdir("/proc/self/task"))) > 1:
            sys.exit(
                f"{threads} threads after the imports: forks would not be safe, so stages run by themselves"
            )
        # The pages of what is loaded stay shared.
        gc.freeze()
        self.loaded = True

    def _pass_on(self, child: Child) -> None:
        """Pass the caller's signals on; if the caller has ended, so does the fork."""
        signums = b""
        with contextlib.suppress(OSError):
            signums = child.connection.recv(16)
        # The fork has not been waited for, so its process id is still its own.
        for signum in signums:
            os.kill(child.pid, signum)
        if not signums:
            self.selector.unregister(child.connection)
            os.kill(child.pid, signal.SIGKILL)

    def _reap(self, pidfd: Any, child: Child) -> None:
        _, status = os.waitpid(child.pid, 0)
        self.selector.unregister(pidfd)
        os.close(pidfd)
        with contextlib.suppress(KeyError):
            self.selector.unregister(child.connection)
        with contextlib.suppress(OSError):
            child.connection.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))
        child.connection.close()
        self.children -= 1

    def _leave(self, connection: socket.socket) -> None:
        """In a fork, close what its parent holds: others would not see the end of their connections."""
        for key in list(self.selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
            elif key.fileobj is not sys.stdin:
                os.close(key.fd)
        self.selector.close()
        connection.close()


def _become(request: Mapping[str, Any], files: list[int]) -> None:
    """Take the caller's place; its terminal's signals come through the connection alone."""
    os.setsid()
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    # The old stream objects remember whether their former files can seek or are a terminal.
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for signum in request["ignored"]:
        signal.signal(signum, signal.SIG_IGN)
    sys.argv = [request["module"], *request["arguments"]]


def _close(connection: socket.socket | None, files: list[int]) -> None:
    if connection is not None:
        connection.close()
    for file in files:
        os.close(file)


def main() -> None:
    """Serve, and in a fork run the module that was asked for."""
    number, folder, *modules = sys.argv[1:]
    process = os.getpid()
    try:
        request = Server(socket.socket(fileno=int(number)), modules).serve()
    finally:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)
    if request is not None:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
