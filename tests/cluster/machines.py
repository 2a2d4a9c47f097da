"""Machines for tests: namespaces, joined by a network that leads nowhere else.

Making them takes root. A machine has its own mounts, network, processes and host name, and empty folders in
place of those that are named. It ends, with all that runs on it, when its first process does.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NETWORK = "10.77.0"
CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Machine:
    """A machine by the process that holds it; `env` is all that its commands inherit."""

    name: str
    address: str
    pid: int
    env: Mapping[str, str]

    def words(self, argv: Sequence[str], **more: str) -> list[str]:
        """Return the command that runs `argv` on the machine."""
        where = ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--net", "--ipc"]
        env = [f"{name}={value}" for name, value in {**self.env, **more}.items()]
        return [*where, f"--pid=/proc/{self.pid}/ns/pid_for_children", "env", "-i", *env, *argv]

    def run(
        self, argv: Sequence[str], *, timeout: float = 300, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine and return how it ended."""
        return subprocess.run(
            self.words(argv, **more),
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    def processes(self, word: str) -> list[int]:
        """Return the machine's processes with a word in their command line, by this host's ids."""
        ours = Path(f"/proc/{self.pid}/ns/pid_for_children").readlink()
        matching = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "ns" / "pid").readlink() == ours and word in (folder / "cmdline").read_text():
                    matching.append(int(folder.name))
            except OSError:
                continue  # it has ended
        return matching


@contextmanager
def network() -> Iterator[Machine]:
    """Yield the network's own machine, at `NETWORK`.1, which has this host's files.

    The calling thread, and what it starts, is on this network until the block ends.
    """
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        with _held(["unshare", "--net"]) as pid:
            hub = Machine("hub", f"{NETWORK}.1", pid, dict(os.environ))
            there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            try:
                _enter(there)
                _ip("link set lo up", "link add br0 type bridge", f"addr add {hub.address}/24 dev br0")
                _ip("link set br0 up")
                yield hub
            finally:
                _enter(here)
                os.close(there)
    finally:
        os.close(here)


@contextmanager
def machine(name: str, number: int, empty: Sequence[Path], env: Mapping[str, str]) -> Iterator[Machine]:
    """Yield a machine at address `number` of the network that the calling thread is on.

    Args:
        name: its host name, which no other machine knows.
        empty: folders that are empty there, and in memory.
        env: all that its commands inherit.
    """
    address = f"{NETWORK}.{number}"
    steps = [f"hostname {shlex.quote(name)}"]
    for folder in empty:
        place = shlex.quote(str(folder))
        steps.append(f"mkdir -p {place} && mount -t tmpfs tmpfs {place}")
    hosts = shlex.quote(str(empty[-1] / "hosts"))
    steps.append(
        f"printf '127.0.0.1 localhost\\n{address} {name}\\n' > {hosts} && mount --bind {hosts} /etc/hosts"
    )
    kinds = ["--mount", "--uts", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with _held(["unshare", *kinds], " && ".join(steps)) as pid:
        held = Machine(name, address, pid, env)
        _ip(f"link add {name} type veth peer name eth0 netns {pid}", f"link set {name} master br0 up")
        for words in ("link set lo up", f"addr add {address}/24 dev eth0", "link set eth0 up"):
            done = held.run(["ip", *words.split()], PATH=os.environ["PATH"])
            assert done.returncode == 0, done.stderr
        yield held


@contextmanager
def machines(names: Sequence[str], empty: Sequence[Path], env: Mapping[str, str]) -> Iterator[list[Machine]]:
    """Yield several machines alike."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(machine(name, number, empty, env))
            for number, name in enumerate(names, start=2)
        ]


@contextmanager
def _held(words: Sequence[str], steps: str = "true") -> Iterator[int]:
    # The shell's first line says that the namespaces are laid out. They end with us, however we end.
    process = subprocess.Popen(
        [
            "setpriv",
            "--pdeathsig",
            "KILL",
            *words,
            "sh",
            "-c",
            f"{steps} && echo ready && exec sleep infinity",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        with process.stdout:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("no namespaces could be made: it takes root, and Linux")
            yield process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)


def _enter(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*commands: str) -> None:
    for words in commands:
        subprocess.run(["ip", *words.split()], check=True, timeout=30)
