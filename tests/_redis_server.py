"""Owns a real redis-server of the tests' own: on loopback, without persistence, gone when the tests are."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

START_TIMEOUT = 10.0
"""Seconds for the server to answer its first PING."""

PORTS = range(12_000, 32_000)
"""Below those that systems hand out to connections (Linux: from 32 768), of which one may be taken at any moment."""

_chance = random.SystemRandom()  # not the seeded one: test runs beside each other would be given the same ports

_handed_out: set[int] = set()


def free_port() -> int:
    """Return a loopback port on which nobody listens now, and that this process was not given before."""
    while True:
        port = _chance.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            if port not in _handed_out:
                probe.bind(("127.0.0.1", port))
                _handed_out.add(port)
                return port


def _watch(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Have ``process`` killed when this one is gone: a test run that is killed leaves no server behind."""
    wait_for_the_pipes_end = f"read _; kill -9 {process.pid}"
    return subprocess.Popen(["/bin/sh", "-c", wait_for_the_pipes_end], stdin=subprocess.PIPE)


class RedisServer:
    """One server process. Tests that break it own one; all others share the session's.

    Args:
        options: more command line options, such as ``"--replicaof", "127.0.0.1 6379"``.
    """

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._folder: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of its database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the process and wait until it answers."""
        binary = shutil.which("redis-server")
        if binary is None:
            raise RuntimeError("these tests need the program redis-server (Redis 6.2 or newer) in PATH")
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="asyncsched-redis-")
        with Path(self._folder, "log").open("wb") as log:
            command = [binary, *self._arguments(self._folder), *self._options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._watcher = _watch(self._process)
        self._wait_until_it_answers()

    def _arguments(self, folder: str) -> list[str]:
        fixed = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", folder]
        return [*fixed, "--save", "", "--appendonly", "no", "--loglevel", "warning"]

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        assert self._folder is not None
        give_up_at = time.monotonic() + START_TIMEOUT
        while time.monotonic() < give_up_at:
            if self._process.poll() is not None:
                code, log = self._process.returncode, Path(self._folder, "log").read_text(errors="replace")
                self.stop()
                raise RuntimeError(f"redis-server ended at once with code {code}:\n{log}")
            try:
                self.command("PING")
            except OSError:
                time.sleep(0.01)
            else:
                return
        self.stop()
        raise RuntimeError(f"redis-server on port {self.port} did not answer within {START_TIMEOUT:g} s")

    def stop(self) -> None:
        """End the process, gently if it lets us. Harmless when repeated."""
        self._end_watch()  # first, for the server's pid may soon be another's
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def kill(self, *, keep_data: bool = False) -> None:
        """End the process as a power cut would; ``start`` then finds what it had written to its folder, if kept."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None
        self._end_watch()
        if not keep_data:
            self.stop()

    def _end_watch(self) -> None:
        if self._watcher is not None:
            self._watcher.terminate()
            self._watcher.communicate()
            self._watcher = None

    def restart(self) -> None:
        """Stop and start again on the same port: it comes back empty."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop it in mid-air: connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after ``freeze``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str) -> str:
        """Run one command; return its answer's first line, such as ``+PONG``."""
        return self._answer(words)[0]

    def text(self, *words: str) -> str:
        """Run one command that answers one string; return that."""
        head, _, text = "\n".join(self._answer(words)).partition("\n")
        assert head.startswith("$"), head
        return text

    def _answer(self, words: tuple[str, ...]) -> list[str]:
        """Return the lines of an answer: the first one, and those of the string that it announces."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5.0) as connection:
            connection.sendall(request.encode())
            with connection.makefile("rb") as answers:
                head = answers.readline().decode().rstrip()
                text = answers.read(int(head[1:])).decode() if head.startswith("$") and head != "$-1" else ""
        if not head or head.startswith("-LOADING"):
            raise ConnectionError(f"redis-server is not ready: {head!r}")
        return [head, *text.splitlines()]


def wait_until(is_so: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
    """Look again and again, without an event loop; fail after ``timeout`` seconds."""
    give_up_at = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() >= give_up_at:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(0.01)
