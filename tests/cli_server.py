"""Runs the command line many times for the price of one import: a process that forks for every call.

Reads one JSON object per line, answers each with one. The forked child is the real program: its own process group,
its own standard streams, ended by the signal or the exit code that a shell would see.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans of a child become children of this process
    preload()
    print("ready", flush=True)
    for line in sys.stdin:
        call = json.loads(line)
        child = os.fork()
        if child == 0:
            run(call)
        if call.get("kill_after"):
            kill_after(child, call["kill_after"])
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "left": left_behind()}), flush=True)


def kill_after(child: int, seconds: float) -> None:
    """Kill the child when so much time has passed, unless it has ended by then; the dead are left to be waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)


def preload() -> None:
    """Everything that a run imports late; nothing here starts a thread."""
    torch.set_num_threads(1)
    "".encode("unicode-escape")  # this and the next for another user, who may not read where Python is installed
    import importlib.readers  # noqa: F401

    import transformers.models.auto.modeling_auto
    import transformers.models.qwen3.modeling_qwen3  # noqa: F401

    import coevolve.cli
    import coevolve.commands.answer
    import coevolve.commands.compare
    import coevolve.commands.doctor
    import coevolve.commands.eval
    import coevolve.commands.export
    import coevolve.commands.results
    import coevolve.commands.running
    import coevolve.engine.local.sampler
    import coevolve.engine.local.trainer
    import coevolve.report.build
    import coevolve.runs.ask
    import coevolve.runs.driver  # noqa: F401


def run(call: dict[str, Any]) -> None:
    """Become ``coevolve ARGUMENTS``."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a script starts in the background
    os.chdir(call["cwd"])
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(call[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(call.get("environment", {}))
    if "umask" in call:
        os.umask(call["umask"])
    if call.get("user"):
        become(call["user"])
    if call.get("largest_file"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (call["largest_file"],) * 2)
    if call.get("fault"):
        install(**call["fault"])
    if call.get("kill_at"):
        kill_at(**call["kill_at"])
    random.seed(os.getpid())  # no generator that everybody shares may decide anything
    numpy.random.seed(os.getpid())
    torch.manual_seed(os.getpid())
    sys.argv = ["coevolve", *call["arguments"]]
    from coevolve.cli import main as program

    code: object = 0
    try:
        program()
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    import multiprocessing.util

    multiprocessing.util._exit_function()
    os._exit(code if isinstance(code, int) else 0)


def become(user: int) -> None:
    """Go on as another user, without the rights of root."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def install(method: str, phase: str | None, when: str, kind: str) -> None:
    """Let a method of the run folder bring the fault, in a phase: ``before`` or ``after`` its work, or ``within``.

    ``within`` is for the methods that are handed a function to write with: it has written, but the last file only half.
    """
    from coevolve.store.folder import RunFolder

    original = getattr(RunFolder, method)

    @functools.wraps(original)
    def faulty(self: RunFolder, *arguments: Any, **named: Any) -> Any:
        here = phase is None or self._phase == phase
        if here and kind == "fill the disk":
            fill_disk(self.path.parent)
        elif here and when == "before":
            strike(kind)
        if here and when == "within":
            arguments = tuple(torn(one) if callable(one) else one for one in arguments)
        out = original(self, *arguments, **named)
        if here and when == "after":
            strike(kind)
        return out

    setattr(RunFolder, method, faulty)


def torn(write: Callable[[Path], object]) -> Callable[[Path], None]:
    """Write, cut the newest file in half, die."""

    def half(path: Path) -> None:
        write(path)
        newest = max([f for f in path.rglob("*") if f.is_file()] or [path], key=lambda f: f.stat().st_mtime_ns)
        os.truncate(newest, newest.stat().st_size // 2)
        strike("kill")

    return half


def kill_at(operation: int, half: bool) -> None:
    """Die at the n-th call that changes the disk, before it; of a write the first ``half`` may be done."""
    left = operation

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                if half and original is write:
                    write(arguments[0], memoryview(arguments[1]).cast("B")[: memoryview(arguments[1]).nbytes // 2])
                strike("kill")
            return original(*arguments, **named)

        return call

    write = os.write
    for module, names in ((os, ("write", "fsync", "ftruncate")), (Path, ("replace", "rename", "unlink", "mkdir"))):
        for name in names:
            setattr(module, name, dying(getattr(module, name)))


def strike(kind: str) -> None:
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "interrupt":
        os.killpg(0, signal.SIGINT)
    elif kind == "interrupt twice":
        os.killpg(0, signal.SIGINT)
        time.sleep(0.3)
        os.killpg(0, signal.SIGINT)
    elif kind == "terminate":
        os.killpg(0, signal.SIGTERM)
    elif kind == "hang up":
        os.killpg(0, signal.SIGHUP)
    elif kind == "stale":
        stale_weights()
    elif kind == "shortage":
        little_memory()
    elif kind == "full memory":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
    elif kind == "bug":
        raise ZeroDivisionError("a defect of ours")


def fill_disk(place: Path) -> None:
    """Leave so little of a disk that no checkpoint fits, as another program may while a run goes on."""
    found = os.statvfs(place)
    (place / "filler").write_bytes(bytes(max(found.f_bavail * found.f_frsize - (1 << 20), 0)))


def stale_weights() -> None:
    """From now on the sampler keeps its old weights and only says that it has new ones."""
    from coevolve.engine.base import Snapshot
    from coevolve.engine.local.sampler import LocalSampler

    def forget(self: LocalSampler, policy: Snapshot) -> None:
        self.policy_version = policy.version

    LocalSampler.load_weights = forget  # type: ignore[method-assign,assignment]


def little_memory() -> None:
    """From now on no two rows of a training batch fit into memory together."""
    from coevolve.engine.local import trainer

    real = trainer.hidden_states

    def limited(model: torch.nn.Module, micro: Any, device: torch.device) -> torch.Tensor:
        if len(micro.rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return real(model, micro, device)

    trainer.hidden_states = limited


def left_behind() -> list[str]:
    """Command lines of processes that a call left running, after a moment to end by themselves."""
    deadline = time.monotonic() + 40  # on a busy machine
    while True:
        children = [int(p) for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
        for pid in children:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
        if not children or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    names = []
    for pid in children:
        names.append(f"{pid}: " + Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return names


if __name__ == "__main__":
    main()
