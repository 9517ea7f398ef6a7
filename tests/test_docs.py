"""The documentation names only what exists: links, files, keys, and the values of presets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from coevolve.config.keys import config_keys, section_names
from coevolve.config.loading import expanded, parse_yaml, preset_layer
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.registry import METHODS, load_config

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FOLDERS = (ROOT, ROOT / "docs", ROOT / "src/coevolve")

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_SET = re.compile(r"--set '?([\w.]+)=")
_PRESET_ROW = re.compile(r"^\| `([\w.]+)` \| `([^`]+)` \| `([^`]+)` \|", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.is_file(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_keys_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {code.partition("=")[0] for code in _CODE.findall(text)}
    schemas = [method.config for method in METHODS.values()]
    sections = {name for schema in schemas for name in section_names(schema)}
    keys = {name for name in named if re.fullmatch(rf"({'|'.join(sorted(sections))})\.\w+", name)}
    known = {key for schema in schemas for key in config_keys(schema)}
    files = {name for name in keys if name.endswith(".py")}  # generator.py is no key of a generator
    unknown = (keys - files | set(_SET.findall(text))) - known - {"key"}
    assert not unknown, f"{page.name} names {sorted(unknown)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_files_exist(page: Path) -> None:
    named = {code for code in _CODE.findall(page.read_text(encoding="utf-8")) if re.fullmatch(r"[\w/]+/\w+\.py", code)}
    missing = [name for name in named if not any((folder / name).is_file() for folder in FOLDERS)]
    assert not missing, f"{page.name} names {missing}"


def value(config: object, key: str) -> object:
    for name in key.split("."):
        config = getattr(config, name)
    return config


@pytest.mark.parametrize(
    ("page", "presets"), [("methods", ("mini", "mini-paper")), ("r-zero", ("r-zero", "r-zero-code"))]
)
def test_the_preset_table_holds_every_difference_with_its_values(page: str, presets: tuple[str, str]) -> None:
    rows = _PRESET_ROW.findall((ROOT / f"docs/{page}.md").read_text(encoding="utf-8"))
    shown = {key: (yaml.safe_load(first), yaml.safe_load(second)) for key, first, second in rows}
    one, other = (load_config(preset, None, []) for preset in presets)

    different = {
        key for key in config_keys(CoevolutionConfig) if key != "preset" and value(one, key) != value(other, key)
    }
    assert {key: (value(one, key), value(other, key)) for key in different} == shown


def constants(method: str) -> tuple[list[str], list[list[str]]]:
    """The presets in the heading of the table of a method's constants, and its rows that have a key."""
    text = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    table = text.partition(f"<!-- constants {method} -->")[2].partition(f"<!-- /constants {method} -->")[0]
    lines = [[cell.strip() for cell in line.strip("|").split(" |")] for line in table.strip().splitlines()]
    head, _, *rows = lines
    return [cell.strip("`") for cell in head[4:6]], [row for row in rows if row[1]]


def held(config: CoevolutionConfig, expression: str) -> object:
    """What a preset makes of a key, or of a product of keys; for sampling what tokens are drawn from in the end."""
    if re.fullmatch(r"sampling\.\w+\.\w+", expression):
        _, use, name = expression.split(".")
        return getattr(config.sampling.everywhere()[use], name)
    first, *others = expression.split()
    number = value(config, first)
    for sign, key in zip(others[::2], others[1::2], strict=True):
        other = value(config, key)
        assert isinstance(number, int | float)
        assert isinstance(other, int)
        number = number * other if sign == "*" else number / other
    return number


@pytest.mark.parametrize("method", ["agent0", "r-zero"])
def test_the_tables_of_constants_are_what_the_presets_load_to(method: str) -> None:
    presets, rows = constants(method)
    assert len(rows) > 50
    for preset, column in zip(presets, (4, 5), strict=True):
        config = load_config(preset)
        assert isinstance(config, CoevolutionConfig)
        shown = {row[1].strip("`"): parse_yaml(row[column].strip("`"), "the table") for row in rows}
        assert {key: held(config, key) for key in shown} == shown


@pytest.mark.parametrize("method", ["agent0", "r-zero"])
def test_ours_are_the_published_constants_or_the_table_says_why_not(method: str) -> None:
    _, rows = constants(method)
    for name, _, paper, code, ours_paper, ours_code, why in rows:
        expected = paper if paper != "–" else code
        for published, ours in ((expected, ours_paper), (code, ours_code)):
            if published != "–" and not why:
                assert parse_yaml(published, "the table") == parse_yaml(ours.strip("`"), "the table"), name


@pytest.mark.parametrize("method", ["agent0", "r-zero"])
def test_the_tables_of_constants_miss_no_key_that_a_preset_sets(method: str) -> None:
    presets, rows = constants(method)
    named = {key for row in rows for key in re.findall(r"[a-z]\w*(?:\.\w+)*", row[1])}
    ours = {"pool.voters"}  # who answers: the current executor, as in both papers
    for preset in presets:
        keys = expanded(CoevolutionConfig, preset_layer(preset)).values
        learning = {
            key for key in keys if key.split(".")[0] in ("sampling", "reward", "proposer", "pool", "gate", "solver")
        }
        assert learning - named - ours <= {"sampling.temperature"}
