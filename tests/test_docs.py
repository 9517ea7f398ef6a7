"""The documentation names only what exists: links, files, keys, and the values of presets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from coevolve.config.keys import config_keys, section_names
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.registry import load_config

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
    keys = {name for name in named if re.fullmatch(rf"({'|'.join(section_names(CoevolutionConfig))})\.\w+", name)}
    unknown = (keys | set(_SET.findall(text))) - set(config_keys(CoevolutionConfig)) - {"key"}
    assert not unknown, f"{page.name} names {sorted(unknown)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_files_exist(page: Path) -> None:
    named = {code for code in _CODE.findall(page.read_text(encoding="utf-8")) if re.fullmatch(r"[\w/]+/\w+\.py", code)}
    missing = [name for name in named if not any((folder / name).is_file() for folder in FOLDERS)]
    assert not missing, f"{page.name} names {missing}"


@pytest.mark.parametrize(
    ("page", "presets"), [("methods", ("mini", "mini-paper")), ("r-zero", ("r-zero", "r-zero-code"))]
)
def test_the_preset_table_holds_every_difference_with_its_values(page: str, presets: tuple[str, str]) -> None:
    rows = _PRESET_ROW.findall((ROOT / f"docs/{page}.md").read_text(encoding="utf-8"))
    shown = {key: (yaml.safe_load(first), yaml.safe_load(second)) for key, first, second in rows}
    one, other = (load_config(preset, None, []) for preset in presets)

    def value(config: object, key: str) -> object:
        for name in key.split("."):
            config = getattr(config, name)
        return config

    different = {
        key for key in config_keys(CoevolutionConfig) if key != "preset" and value(one, key) != value(other, key)
    }
    assert {key: (value(one, key), value(other, key)) for key in different} == shown
