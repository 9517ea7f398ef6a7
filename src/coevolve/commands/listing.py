"""``coevolve config``: every key with its allowed values, default and meaning."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.config.keys import config_keys, nearest, section_names, shown
from coevolve.errors import ConfigError


def print_keys(console: Console, section: str | None) -> None:
    """Print all keys, or those of one section.

    Raises:
        ConfigError: no section has this name.
    """
    if section is not None and section not in section_names():
        guess = nearest(section, section_names())
        hint = f" (did you mean {guess}?)" if guess else ""
        raise ConfigError(f"unknown section {section}{hint}", fix=f"sections: {', '.join(section_names())}")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("key", "default", "allowed", "meaning"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "key")
    for key in config_keys().values():
        if section in (None, key.section):
            table.add_row(*(Text(cell) for cell in (key.name, shown(key.default), key.allowed, key.description)))
    console.print(table)
