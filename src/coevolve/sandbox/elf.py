"""Which shared libraries the extension modules of a folder of packages need: the "needed" entries of ELF files.

As laid out in the System V ABI, "Object files" (elf(5)), for the 64-bit little-endian machines the sandbox runs on.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

_IDENT = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_LOAD, _DYNAMIC = 1, 2  # kinds of segments
_END, _NEEDED, _STRINGS = 0, 1, 5  # tags of dynamic entries
_SEGMENT = struct.Struct("<IIQQQQQQ")  # kind, flags, offset, address, -, bytes in the file, -, -
_ENTRY = struct.Struct("<qQ")
_LONGEST_NAME = 4096


def needed(path: Path) -> list[str]:
    """The names of the libraries that a shared object was linked to; none for a file of any other kind."""
    try:
        with path.open("rb") as file:
            return _needed(file.fileno())
    except (OSError, struct.error):  # unreadable, or cut short: it cannot be loaded either
        return []


def _needed(file: int) -> list[str]:
    head = os.pread(file, 64, 0)
    if not head.startswith(_IDENT):
        return []
    (start,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    table = os.pread(file, size * count, start)
    segments = [_SEGMENT.unpack_from(table, at) for at in range(0, size * count, size)]
    entries = [
        entry
        for kind, _, offset, _, _, length, _, _ in segments
        if kind == _DYNAMIC
        for entry in _ENTRY.iter_unpack(os.pread(file, length // _ENTRY.size * _ENTRY.size, offset))
    ]
    strings = next((value for tag, value in entries if tag == _STRINGS), 0)
    for kind, _, offset, address, _, length, _, _ in segments:
        if kind == _LOAD and address <= strings < address + length:
            base = offset + strings - address
            names = [_name(file, base + value) for tag, value in entries if tag == _NEEDED]
            return [name for name in names if name and "/" not in name]
    return []


def _name(file: int, at: int) -> str:
    name, end, _ = os.pread(file, _LONGEST_NAME, at).partition(b"\0")
    return os.fsdecode(name) if end else ""


def libraries_of(folder: Path) -> tuple[str, ...]:
    """The names of all libraries that shared objects in a folder and below it need, but for those that are there."""
    wanted: set[str] = set()
    there: set[str] = set()
    for path, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".so") or ".so." in name:
                there.add(name)
                wanted.update(needed(Path(path, name)))
    return tuple(sorted(wanted - there))
