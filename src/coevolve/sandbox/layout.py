"""The parts of a file system that contains only the readable paths.

Also runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from . import library


class Layout(NamedTuple):
    """The parts of a root with nothing but the readable paths in it.

    ``links`` are symbolic links (where, to what) that lead to ``places``, the files and folders to be shown at their
    own paths; ``hidden`` are folders in these whose content is not to be shown.
    """

    links: list[tuple[str, str]]
    places: list[str]
    hidden: list[str]


def layout(readable: Iterable[str]) -> Layout:
    """Real paths, none inside another, and the links on the way to them."""
    tops: list[str] = []
    for path in readable:
        if not path.startswith(tuple(f"{top}/" for top in tops)) or os.path.islink(path):
            tops.append(path)
    links: dict[str, str] = {}
    no_links: set[str] = set()
    places: list[str] = []
    for path in tops:
        real = _follow(path, links, no_links)
        if not _is_in(real, places):
            places.append(real)
    shown = [(here, target) for here, target in links.items() if not _is_in(here, places)]
    foreign = library.foreign_folders()
    hidden = [folder for folder in foreign if _is_in(folder, places) and not any(_is_in(p, [folder]) for p in places)]
    return Layout(shown, places, hidden)


def _is_in(path: str, folders: list[str]) -> bool:
    return f"{path}/".startswith(tuple(f"{folder}/" for folder in folders))


def _follow(path: str, links: dict[str, str], no_links: set[str]) -> str:
    """The real path; adds all links on the way to ``links``, and everything that is not a link to ``no_links``."""
    real, rest = "", path.split("/")[::-1]
    while rest:
        part = rest.pop()
        here = f"{real}/{part}"
        if part in ("", "."):
            continue
        if part == "..":
            real = os.path.dirname(real)
        elif here not in no_links and os.path.islink(here):
            links[here] = os.readlink(here)
            real = "" if links[here].startswith("/") else real
            rest += links[here].split("/")[::-1]
        else:
            no_links.add(here)
            real = here
    return real
