"""The copy that a run keeps of a prompt file of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from coevolve.methods.registry import load_config
from coevolve.store.folder import RunFolder
from coevolve.store.prompts import changed_prompts, prompts_fact, with_own_prompts
from coevolve.worlds.open.prompting import prompt_file

MINE = 'solver: {task: "{question}"}\r\nproposer: {task: Schreib was über π.}\n'


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "mine.yaml").write_bytes(MINE.encode())
    config = load_config("smoke-hf", None, [f"model.prompts={tmp_path / 'mine.yaml'}"])
    folder = RunFolder.create(tmp_path / "run", config)
    folder.set_status("running", **prompts_fact(config.model.prompts))
    return folder


def test_a_run_goes_on_with_the_prompts_that_it_began_with(run: RunFolder, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    assert with_own_prompts(run.records) == run.config
    assert changed_prompts(run.records) == []
    before = prompt_file(str(mine))
    mine.write_text('solver: {task: "{question}"}\nproposer: {task: Another.}\n')
    for gone in (False, True):
        if gone:
            mine.unlink()
        kept = with_own_prompts(run.records).model.prompts
        assert (Path(kept).name, prompt_file(kept)) == ("mine.yaml", before)
        assert "the run goes on with its own copy" in changed_prompts(run.records)[0]
    run.set_status("running", **prompts_fact(run.config.model.prompts, run.records.facts["prompts"]))
    assert prompt_file(with_own_prompts(run.records).model.prompts) == before
    run.close()


def test_nothing_is_kept_of_the_prompts_of_the_package() -> None:
    assert prompts_fact(load_config("nano").model.prompts) == {}
