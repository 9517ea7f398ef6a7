"""Where a run comes from: for every process that worked on it the command, the time, the code, packages and machine.

It stands in the manifest under ``starts``. Nothing of it reaches ``metrics.jsonl``, whose bytes depend on seed and
configuration alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import coevolve
from coevolve.engine.planning.devices import gpus
from coevolve.runs import machine
from coevolve.runs.masking import masked
from coevolve.store import atomic
from coevolve.system import usable_cores

KEY = "starts"
FOLDER = "provenance"
MOST_DIFF = 1 << 20  # bytes of a diff that is kept; of a larger one only the hash
_GIT_S = 20.0
_OF_EACH_START = ("time", "command", "folder")  # the rest is left out where it is what it was

Start = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Code:
    """The state of a folder of code.

    Args:
        commit: its commit, or that of the installed package; None where none is known.
        diff: what differs from the commit, new files included; empty where nothing does.
        unknown: why nothing is known; empty where something is.
    """

    commit: str | None
    diff: bytes
    unknown: str = ""


def started(
    own: Sequence[str] = (), device: str = "cpu", arguments: Sequence[str] | None = None
) -> tuple[Start, bytes]:
    """What is to be said of this process, and the diff of its code.

    Args:
        own: dotted paths of all of one's own that the run uses.
        device: that of the engine; only a run on GPUs names them.
        arguments: the command; default: that of this process. Secrets in it are hidden.
    """
    code = code_of(Path(coevolve.__file__).parent)
    digest = hashlib.sha256(code.diff).hexdigest() if code.diff else None
    kept = f"{FOLDER}/{digest[:12]}.patch" if digest and len(code.diff) <= MOST_DIFF else None
    start: Start = {
        "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "command": masked(_named(sys.argv if arguments is None else arguments), os.environ),
        "folder": os.getcwd(),
        "coevolve": coevolve.__version__,
        "code": {
            "commit": code.commit,
            "changed": None if code.unknown else bool(code.diff),
            "diff_sha256": digest,
            "diff": kept,
            "unknown": code.unknown or None,
        },
        "own_code": _digests(own),
        "python": platform.python_version(),
        "packages": machine.used_versions(machine.own_requirements()),
        "machine": _machine(device),
    }
    return start, code.diff


def with_start(folder: Path, facts: Mapping[str, object], start: Start, diff: bytes) -> list[Start]:
    """The list of starts in the facts of a manifest, with one more; its diff is kept in the run folder.

    Raises:
        RunError: the disk refuses.
    """
    kept = start["code"]["diff"]
    if kept is not None:
        with atomic.writing(folder / kept, "make room on the disk, then run the same command again"):
            atomic.replace_file(folder / kept, diff)
    known, full = _written(facts), starts_of(facts)
    last = full[-1] if full else {}
    return [*known, {key: value for key, value in start.items() if key in _OF_EACH_START or last.get(key) != value}]


def starts_of(facts: Mapping[str, object]) -> list[Start]:
    """Every start in full, from the facts of a manifest; none for a run of an older version."""
    full: list[Start] = []
    for one in _written(facts):
        full.append({**(full[-1] if full else {}), **one})
    return full


def _written(facts: Mapping[str, object]) -> list[Start]:
    found = facts.get(KEY)
    return list(found) if isinstance(found, list) else []


def described(facts: Mapping[str, object]) -> str:
    """The same as text for people: a paragraph per start, of which later ones name only what changed."""
    before: Start = {}
    paragraphs = []
    for number, start in enumerate(starts_of(facts)):
        changed = {key: value for key, value in start.items() if key in _OF_EACH_START or before.get(key) != value}
        paragraphs.append("\n".join(_lines("begun" if number == 0 else "resumed", changed)))
        before = start
    return "\n\n".join(paragraphs)


def _lines(what: str, start: Start) -> Iterator[str]:
    yield f"{what:9} {start['time']}   in {start['folder']}"
    yield f"command   {shlex.join(start['command'])}"
    if "coevolve" in start or "code" in start:
        version = [f"coevolve {start['coevolve']}"] if "coevolve" in start else []
        yield f"code      {', '.join(version + ([_code_words(start['code'])] if 'code' in start else []))}"
    for name, sha256 in start.get("own_code", {}).items():
        yield f"own code  {name}   sha256 {sha256}"
    if "machine" in start:
        found = start["machine"]
        sizes = f"{found['cores']} cores, {found['memory_bytes'] / 1e9:.1f} GB"
        gpu = "".join(f", {name}" for name in found["gpus"])
        yield f"machine   {found['host']}: {found['system']}, {found['cpu']}, {sizes}{gpu}"
    if "packages" in start or "python" in start:
        named = [f"Python {start['python']}"] if "python" in start else []
        named += [f"{name} {version}" for name, version in start.get("packages", {}).items()]
        yield f"packages  {', '.join(named)}"


def _code_words(code: Mapping[str, Any]) -> str:
    if code["unknown"]:
        return f"commit unknown: {code['unknown']}"
    if not code["changed"]:
        return f"commit {code['commit']}"
    kept = f", kept in {code['diff']}" if code["diff"] else ", too large to be kept"
    return f"commit {code['commit']} with changes (sha256 {code['diff_sha256'][:12]}{kept})"


def code_of(folder: Path) -> Code:
    """The state of the code of a Python package: of its checkout, or of the commit it was installed from."""
    try:
        _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    except FileNotFoundError:
        return _installed("git is not installed")
    except subprocess.TimeoutExpired:
        return _installed("git did not answer")
    except subprocess.CalledProcessError:
        return _installed("the code is in no checkout")
    try:
        commit = _git(folder, "rev-parse", "HEAD").decode().strip()
        return Code(commit, _git(folder, "diff", *_PLAIN, "HEAD", "--", ".") + b"".join(_new_files(folder)))
    except (subprocess.SubprocessError, OSError) as error:
        return Code(None, b"", f"git does not tell: {type(error).__name__}")


_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--binary")


def _new_files(folder: Path) -> Iterator[bytes]:
    """Files that the checkout does not know yet, as a diff."""
    root = Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel")).rstrip("\n"))
    listed = _git(folder, "ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", ".")
    for name in filter(None, os.fsdecode(listed).split("\0")):
        yield _git(root, "diff", "--no-index", *_PLAIN, "--", os.devnull, name, differs=True)


def _git(folder: Path, *arguments: str, differs: bool = False) -> bytes:
    """What git says, which changes nothing and runs nothing that the checkout's settings name.

    Raises:
        OSError, subprocess.SubprocessError: it cannot say.
    """
    git = shutil.which("git")
    if git is None:
        raise FileNotFoundError("git")
    settings = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false")  # another user's checkout may be read too
    done = subprocess.run(
        [git, *settings, "-C", str(folder), *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=_GIT_S,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
    )
    if done.returncode not in ((0, 1) if differs else (0,)):
        raise subprocess.CalledProcessError(done.returncode, arguments, done.stdout, done.stderr)
    return done.stdout


def _installed(unknown: str) -> Code:
    """The commit that pip wrote down when it installed from a repository."""
    try:
        text = metadata.distribution("coevolve").read_text("direct_url.json")
        commit = json.loads(text or "{}").get("vcs_info", {}).get("commit_id")
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        commit = None
    return Code(str(commit), b"") if commit else Code(None, b"", unknown)


def _named(arguments: Sequence[str]) -> list[str]:
    """The command with the name of its program instead of its place."""
    program = Path(arguments[0] if arguments else "").name
    return ["coevolve" if program in ("", "-c", "-m", "__main__.py") else program, *arguments[1:]]


def _digests(own: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the modules that dotted paths name."""
    out = {}
    for path in own:
        found = importlib.util.find_spec(path.partition(":")[0])
        if found is not None and found.origin is not None and Path(found.origin).is_file():
            out[path] = atomic.digest(Path(found.origin))
    return out


def _machine(device: str) -> dict[str, Any]:
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "cpu": _processor(),
        "cores": usable_cores(),
        "memory_bytes": machine.memory_bytes(),
        "gpus": [gpu.name for gpu in gpus()] if device == "cuda" else [],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
