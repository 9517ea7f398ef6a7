"""Where coevolve keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(part: str) -> Path:
    """A folder below ``XDG_CACHE_HOME`` (``~/.cache`` without it); it need not be there yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()) / "coevolve" / part
