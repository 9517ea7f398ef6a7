"""Who may import whom, read off the source: no way from learner to oracle, none from a floor upwards."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import coevolve

ROOT = Path(coevolve.__file__).parent
HEAVY = {"torch", "transformers"}
ORACLE_MODULES = {
    f"coevolve.worlds.miniature.{name}" for name in ("truth", "meter", "generator", "corpus", "build", "teacher")
} | {
    *(f"coevolve.worlds.code.{name}" for name in ("operations", "meter", "generator", "corpus", "build")),
    "coevolve.worlds.open.exact",
    "coevolve.worlds.open.meter",
    "coevolve.worlds.games.perfect",
    "coevolve.worlds.games.meter",
    "coevolve.worlds.games.corpus",
    "coevolve.worlds.games.build",
}
MEASURING = ("suites", "evaluation", "harness")  # packages that hold problems with true answers
LEARNERS = {  # modules of worlds that learning code may reach
    "coevolve.worlds.miniature.learner",
    "coevolve.worlds.code.learner",
    "coevolve.worlds.open.learner",
    "coevolve.worlds.open.contract",
    "coevolve.worlds.games.learner",
}
LEARNING_SIDE = (
    *("methods", "curriculum", "learning", "rollout", "engine", "grading", "sandbox"),
    *("teacher", "endpoint"),
)
FLOORS = (
    {"types", "errors", "system", "permissions", "statistics"},
    {"config", "presets"},
    {"endpoint"},
    {"grading", "sandbox", "learning"},
    {"teacher"},
    {"engine"},
    {"worlds"},
    {"rollout"},
    {"curriculum"},
    {"methods"},
    {"store"},
    {"suites"},
    {"evaluation"},
    {"monitor"},
    {"runs"},
    {"harness"},
    {"studies", "export", "report", "serving"},
    {"api"},
    {"commands"},
    {"cli", "cli_eval", "cli_runs", "cli_sandbox", "__main__"},
)


@dataclass(frozen=True)
class Import:
    target: str
    at_import_time: bool  # not inside a function
    for_types_only: bool  # under ``if TYPE_CHECKING``


@cache
def modules() -> dict[str, Path]:
    names = {}
    for path in ROOT.rglob("*.py"):
        parts = ["coevolve", *path.relative_to(ROOT).with_suffix("").parts]
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_of(source: str, module: str, is_package: bool) -> list[Import]:
    found: list[Import] = []

    def visit(node: ast.AST, at_import_time: bool, for_types_only: bool) -> None:
        for target in targets(node, module, is_package):
            found.append(Import(target, at_import_time, for_types_only))
        inside = at_import_time and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                visit(child, inside, True)
            for child in node.orelse:
                visit(child, inside, for_types_only)
            return
        for child in ast.iter_child_nodes(node):
            visit(child, inside, for_types_only)

    visit(ast.parse(source), True, False)
    return found


def targets(node: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = module.split(".")[: -node.level + is_package or None]
            base = ".".join([*above, *([base] if base else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def graph(*, at_import_time_only: bool) -> dict[str, set[str]]:
    """Edges to modules of ours and to heavy packages; importing a module imports its parent packages."""
    edges: dict[str, set[str]] = {}
    for name, path in modules().items():
        edges[name] = {name.rpartition(".")[0]} & modules().keys()
        for found in imports_of(path.read_text(encoding="utf-8"), name, path.name == "__init__.py"):
            if at_import_time_only and (not found.at_import_time or found.for_types_only):
                continue
            top = found.target.partition(".")[0]
            edges[name] |= {found.target} & modules().keys() or ({top} & HEAVY)
    return edges


def paths_from(start: str, edges: dict[str, set[str]]) -> dict[str, list[str]]:
    """Everything reachable, each with a way to it."""
    ways, queue = {start: [start]}, [start]
    while queue:
        here = queue.pop()
        for there in edges.get(here, set()) - ways.keys():
            ways[there] = [*ways[here], there]
            queue.append(there)
    return ways


def belongs_to(module: str, packages: tuple[str, ...]) -> bool:
    return module.split(".")[1:2] != [] and module.split(".")[1] in packages


def test_learning_code_cannot_reach_the_oracle() -> None:
    edges = graph(at_import_time_only=False)
    learner = [name for name in modules() if belongs_to(name, LEARNING_SIDE)] + sorted(LEARNERS)
    for module in learner:
        for reached, way in paths_from(module, edges).items():
            assert not reached.startswith(tuple(ORACLE_MODULES)), " -> ".join(way)
            assert not belongs_to(reached, MEASURING), " -> ".join(way)


def test_the_walk_finds_ways_over_several_modules() -> None:
    way = paths_from("coevolve.worlds.miniature.build", graph(at_import_time_only=False))
    assert "coevolve.worlds.miniature.truth" in way
    assert len(way["coevolve.worlds.miniature.truth"]) > 2


def test_only_the_meter_of_the_open_world_imports_its_exact_solver() -> None:
    own = "coevolve.worlds.open.exact"
    users = {
        name for name, reached in graph(at_import_time_only=False).items() if any(x.startswith(own) for x in reached)
    }
    assert {name for name in users if not name.startswith(own)} == {"coevolve.worlds.open.meter"}


def test_oracle_modules_exist_under_the_names_that_are_guarded() -> None:
    assert modules().keys() >= ORACLE_MODULES | LEARNERS


def test_learning_code_imports_nothing_by_a_name_made_at_run_time() -> None:
    for module, path in modules().items():
        # The sandbox loads the libraries that snippets may use by name, in a process of its own.
        if belongs_to(module, LEARNING_SIDE) and not belongs_to(module, ("sandbox",)):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                assert name not in {"__import__", "import_module", "importlib.import_module"}, f"{module}: {name}"


@pytest.mark.parametrize("part", ["types", "config", "curriculum", "methods"])
def test_vocabulary_config_curriculum_and_methods_import_no_torch(part: str) -> None:
    edges = graph(at_import_time_only=True)
    for module in [name for name in modules() if belongs_to(name, (part,))]:
        for reached, way in paths_from(module, edges).items():
            assert reached not in HEAVY, " -> ".join(way)


def test_no_floor_imports_a_higher_one() -> None:
    wrong = []
    floor_of = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    for module, reached in graph(at_import_time_only=False).items():
        for target in reached - HEAVY - {"coevolve"}:
            if module != "coevolve":
                here, there = module.split(".")[1], target.split(".")[1]
                if floor_of[there] > floor_of[here]:
                    wrong.append(f"{module} imports {target}")
    assert not wrong


def test_every_module_has_a_floor() -> None:
    known = set().union(*FLOORS)
    assert {name.split(".")[1] for name in modules() if name != "coevolve"} <= known


def test_the_import_contracts_name_the_same_floors_and_the_same_oracle() -> None:
    project = tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["id"]: contract for contract in project["tool"]["importlinter"]["contracts"]}
    assert [set(layer.split(" : ")) for layer in reversed(contracts["layers"]["layers"])] == list(FLOORS)
    assert set(contracts["oracle"]["forbidden_modules"]) == ORACLE_MODULES | {f"coevolve.{name}" for name in MEASURING}
    learner = {f"coevolve.{name}" for name in LEARNING_SIDE} | LEARNERS
    assert set(contracts["oracle"]["source_modules"]) == learner


def test_other_harnesses_are_imported_for_inspect_alone() -> None:
    for module, path in modules().items():
        found = imports_of(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
        tops = {one.target.partition(".")[0] for one in found}
        assert module == "coevolve.harness.inspect_tasks" or not tops & {"inspect_ai", "inspect_evals", "lm_eval"}, (
            module
        )
        assert "coevolve.harness.inspect_tasks" not in {one.target for one in found}, module


def test_imports_are_found_wherever_they_stand() -> None:
    source = (
        "import torch.nn as nn\n"
        "from . import sibling\n"
        "from ..b import c\n"
        "if TYPE_CHECKING:\n    import x\n"
        "class K:\n    import y\n    def f(self):\n        from z import w\n"
    )
    found = {i.target: (i.at_import_time, i.for_types_only) for i in imports_of(source, "p.a.m", False)}
    assert found["torch.nn"] == (True, False)
    assert "p.a.sibling" in found
    assert "p.b.c" in found
    assert found["x"] == (True, True)
    assert found["y"] == (True, False)
    assert found["z.w"] == (False, False)


def test_relative_imports_of_a_package_start_at_the_package() -> None:
    assert "p.a.m" in {i.target for i in imports_of("from . import m", "p.a", True)}


def test_help_loads_no_heavy_package() -> None:
    script = (
        "import sys\n"
        "sys.argv = ['coevolve', '--help']\n"
        "from coevolve.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'scipy', 'numpy', 'pydantic'} & sys.modules.keys()\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resume" in done.stdout
