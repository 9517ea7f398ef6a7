"""Language models that teach themselves to reason with tools, from no data.

``import coevolve`` offers ``run``, ``load``, ``evaluate``, ``grade``, ``Run`` and ``Sandbox`` (docs/python.md). Each is
imported when it is first used, so that the import itself costs nothing; ``__init__.pyi`` says their types.

Start with :mod:`coevolve.types` (the vocabulary) and :mod:`coevolve.methods.agent0` (the main method).
"""

from importlib import import_module as _import_module

__version__ = "0.2.0"

_OFFERED = {  # by module of coevolve.api
    "running": ("run",),
    "stored": ("load", "Run"),
    "rows": ("Rows",),
    "evaluating": ("evaluate",),
    "answers": ("grade", "Grade", "Sandbox"),
}
_PLACES = {name: module for module, names in _OFFERED.items() for name in names}
__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'coevolve' has no attribute {name!r}")
    found: object = getattr(_import_module(f"coevolve.api.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
