"""Objects of one's own by dotted path, such as ``my_module:MyMethod``: the only place where a name becomes an import.

A module is looked for where Python looks, and in the current directory last.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from coevolve.config.keys import WRITTEN_AS_PATH, ConfigKey
from coevolve.errors import ConfigError

DottedPath = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


def is_dotted(name: str) -> bool:
    """Whether a name is that of an object of one's own."""
    return ":" in name


def load_object(path: str, key: str, *, needs: Sequence[str] = ()) -> Any:
    """What a dotted path names.

    Args:
        path: module and name, ``my_package.my_module:name``.
        key: of the configuration, for messages.
        needs: attributes without which it cannot be used; empty for a function, which must be callable.

    Raises:
        ConfigError: there is no such module or name, the module fails, or what it names is of another kind.
    """
    where = f"{key} = {path}"
    module_name, _, name = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not error.name or not f"{module_name}.".startswith(f"{error.name}."):
            raise _broken(module_name, error, where) from error
        fix = f"run the command in the folder that holds {module_name}, or put that folder on PYTHONPATH"
        raise ConfigError(f"there is no module {error.name}", where=where, fix=fix) from error
    except Exception as error:  # whatever code of the user's may raise
        raise _broken(module_name, error, where) from error
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, vars(module), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigError(f"{module_name} has no {name}{hint}", where=where, fix=f"define it in {module.__file__}")
    found = getattr(module, name)
    lacking = [attribute for attribute in needs if not hasattr(found, attribute)]
    if lacking or not (needs or callable(found)):
        what = f"{name} lacks {', '.join(lacking)}" if lacking else f"{name} is no function"
        raise ConfigError(what, where=where, fix="docs/own-method.md and docs/own-idea.md show what is expected")
    return found


def functions_named(keys: Iterable[ConfigKey], values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Keys whose values are functions of one's own, each with its path.

    Args:
        keys: of the method's configuration.
        values: of all of them, by dotted name.
    """
    for key in keys:
        if WRITTEN_AS_PATH in key.allowed:
            value = values[key.name]
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str) and is_dotted(one):
                    yield key.name, one


def _broken(module: str, error: Exception, where: str) -> ConfigError:
    return ConfigError(f"{module} cannot be imported: {type(error).__name__}: {error}", where=where)
