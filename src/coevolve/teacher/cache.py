"""The replies of a teacher on disk, by request: nothing is asked, or paid for, a second time.

A run that is taken up reads the replies it had, so it has the same bytes as one that was never stopped. Requests are
kept as digests, and no key is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from coevolve.errors import RunError
from coevolve.teacher.spending import Usage


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request came to.

    Args:
        request: its digest.
        round: in which it was asked first.
        text: what the teacher said; None where the endpoint refuses the request, or says more than is read.
        reason: of the refusal.
        read, written: tokens that it cost.
    """

    request: str
    round: int
    text: str | None
    reason: str = ""
    read: int = 0
    written: int = 0

    @property
    def usage(self) -> Usage:
        """Of this request."""
        return Usage(1, self.read, self.written)


def digest(body: Mapping[str, Any]) -> str:
    """32 hex digits over all that decides a reply: model, messages, and how it is drawn."""
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]


class Replies:
    """A file of replies, one JSON object a line, written line by line.

    Args:
        file: made with its folder where it is missing. A last line that a killed process left unfinished is cut off.

    Raises:
        RunError: a line before the last one is damaged.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._known = {}
        whole = 0
        for line in file.read_bytes().splitlines(keepends=True) if file.exists() else []:
            if not line.endswith(b"\n"):
                break
            reply = _read(line, file)
            self._known[reply.request] = reply
            whole += len(line)
        self._file = file.open("ab")
        self._file.truncate(whole)

    def __contains__(self, request: str) -> bool:
        return request in self._known

    def __getitem__(self, request: str) -> Reply:
        return self._known[request]

    def __iter__(self) -> Iterator[Reply]:
        return iter(self._known.values())

    def add(self, reply: Reply) -> None:
        """Keep a reply."""
        self._known[reply.request] = reply
        self._file.write(json.dumps(asdict(reply)).encode() + b"\n")
        self._file.flush()

    def sync(self) -> None:
        """Wait until the disk has everything."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _read(line: bytes, file: Path) -> Reply:
    try:
        return Reply(**json.loads(line))
    except (ValueError, TypeError) as error:
        fix = "remove the file: the teacher is then asked again, and what follows may differ"
        raise RunError(f"a reply of the teacher is damaged: {error}", where=str(file), fix=fix) from error
