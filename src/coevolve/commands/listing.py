"""``coevolve config``: every key with its allowed values, default and meaning."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.config.keys import config_keys, section_names, shown, unknown
from coevolve.methods.registry import method_named


def print_keys(console: Console, section: str | None, method: str) -> None:
    """Print all keys of a method's configuration, or those of one section and of the sections inside it.

    Raises:
        ConfigError: no method or section has this name.
    """
    schema = method_named(method).config
    if section is not None and section not in section_names(schema):
        raise unknown("section", section, section_names(schema))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("key", "default", "allowed", "meaning"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "key")
    for key in config_keys(schema).values():
        if section is None or f"{key.section}.".startswith(f"{section}."):
            table.add_row(*(Text(cell) for cell in (key.name, shown(key.default), key.allowed, key.description)))
    console.print(table)
