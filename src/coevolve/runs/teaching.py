"""The teacher of a run, where its method asks one: an endpoint, or the offline teacher of the world in a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from coevolve.config.teaching import OFFLINE, TeacherSection
from coevolve.endpoint.messages import base_url
from coevolve.errors import ConfigError, TeacherError
from coevolve.teacher.asking import Teacher, key_of

# They know true answers, so they are programs that are started, and nothing imports them.
OFFLINE_TEACHERS: Mapping[str, str] = {"miniature": "coevolve.worlds.miniature.teacher"}
_END_S = 10.0  # within which a process ends that was told to


def require_teacher(section: TeacherSection | None, world: str) -> None:
    """See that there is a teacher, without asking it anything.

    Raises:
        ConfigError: the world has none of its own, the URL is none, or the key is missing.
    """
    if section is None:
        return
    if section.endpoint != OFFLINE:
        base_url(section.endpoint)
        key_of(section)
    elif world not in OFFLINE_TEACHERS:
        raise ConfigError(
            f"world {world} has no teacher of its own",
            where=f"teacher.endpoint={OFFLINE}",
            fix="name one: teacher.endpoint=http://127.0.0.1:8000/v1 and teacher.model=NAME",
        )


@contextmanager
def open_teacher(section: TeacherSection | None, world: str, folder: Path) -> Iterator[Teacher | None]:
    """The teacher of a run, for the block; None where its method asks none.

    Args:
        section: the keys of the teacher; None: there is none.
        world: whose offline teacher is started where the endpoint is ``offline``.
        folder: where its replies are kept.

    Raises:
        ConfigError: as ``require_teacher``.
        TeacherError: the offline teacher does not start.
    """
    if section is None:
        yield None
        return
    require_teacher(section, world)
    if section.endpoint != OFFLINE:
        with closing(Teacher(section, section.endpoint, folder)) as teacher:
            yield teacher
        return
    with _process(OFFLINE_TEACHERS[world]) as url, closing(Teacher(section, url, folder)) as teacher:
        yield teacher


@contextmanager
def _process(module: str) -> Iterator[str]:
    """A program of ours that serves until its input ends; gives its URL."""
    command = [sys.executable, "-m", module]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = process.stdout.readline().decode().strip()
        if not url:
            raise TeacherError("the offline teacher does not start", where=" ".join(command))
        yield url
    finally:
        process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
