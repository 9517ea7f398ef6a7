"""Suites of a run: found by name, kept in its folder, read from there, and never anything else than they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from coevolve.config import Config, EvaluationSection
from coevolve.errors import ConfigError, RunError
from coevolve.evaluation import chosen as module
from coevolve.evaluation.chosen import changes, chosen, facts_of, keep, kept_files, kept_sources, table_of
from coevolve.evaluation.meters import open_meter
from coevolve.evaluation.phase import Evaluate
from coevolve.grading.grade import Kind
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.registry import load_config
from coevolve.store.folder import RunFolder
from coevolve.suites.base import Loaded, Source, content_digest, task_of
from coevolve.types import LabelledTask
from coevolve.worlds.base import SUITES, Meter, Problem
from coevolve.worlds.miniature.meter import MiniatureMeter

Lines = Callable[..., Path]


def written(path: Path, answers: dict[str, str], **more: str) -> Path:
    rows = [{"question": question, "answer": answer} | more for question, answer in answers.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return written(tmp_path / "totals.jsonl", {"What is 1 + 1?": "2", "What is 2 + 2?": "4", "What is 3 + 3?": "6"})


def section(*suites: object, **more: object) -> EvaluationSection:
    return EvaluationSection.model_validate({"suites": [str(suite) for suite in suites]} | more)


def meter_of(config: Config) -> Meter:
    return open_meter(config.world, config.dialogue, partial(chosen, config.evaluation))


def begun(path: Path, found: EvaluationSection) -> RunFolder:
    """A run that has kept its suites and no phase."""
    folder = RunFolder.create(path, CoevolutionConfig(evaluation=found))
    folder.set_status("running", suites=keep(folder, chosen(found), found.suite_limit))
    return folder


def test_a_file_is_named_so_that_it_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").touch()
    asked = ["evaluation.suites=[q.jsonl, gym:word-problems, gsm8k, plain]", "evaluation.suite_data=copies"]
    found = load_config("nano", None, asked).evaluation
    here = [str(tmp_path / "q.jsonl"), "gym:word-problems", "gsm8k", str(tmp_path / "plain")]
    assert found.suites == here
    assert found.suite_data == str(tmp_path / "copies")
    assert load_config("nano", None, ["evaluation.suites=q.jsonl, gsm8k"]).evaluation.suites == [here[0], "gsm8k"]
    assert load_config("nano", None, ["evaluation.suites=gsm8k"]).evaluation.suites == ["gsm8k"]
    assert load_config("nano", None, ["evaluation.suites=[]"]).evaluation.suites == []
    with pytest.raises(ConfigError, match="nothing is asked"):
        load_config("nano", None, ["evaluation.suite_samples=0", "evaluation.suite_greedy=false"])
    with pytest.raises(ConfigError, match=r"evaluation\.suites = \[3\]"):
        load_config("nano", None, ["evaluation.suites=[3]"])


def test_two_suites_of_one_name_are_refused(questions: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = written(tmp_path / "other" / questions.name, {"What is 5 + 5?": "10"})
    with pytest.raises(ConfigError, match="two suites are called totals"):
        chosen(section(questions, twin))


def test_a_source_is_read_once(questions: Path) -> None:
    (source,) = chosen(section(questions))
    first = source.load()
    questions.unlink()
    assert source.load() is first


def test_any_world_is_measured_on_the_chosen_suites_and_planned_with_them(questions: Path) -> None:
    plain = Evaluate(load_config("smoke-hf"), 0)
    asked = [f"evaluation.suites=[{questions}]", "evaluation.suite_samples=3", "evaluation.suite_limit=2"]
    config = load_config("smoke-hf", None, asked)
    meter = meter_of(config)
    (suite,) = meter.suites(config.evaluation, 0)
    assert (suite.part, suite.key, suite.size, suite.samples, suite.greedy) == (SUITES, "totals", 2, 3, True)
    assert meter.knows_labels
    assert not meter.knows_all_labels
    cost = Evaluate(config, 0).cost(config)
    assert plain.cost(config).answers == 0
    assert (cost.prompts, cost.answers, cost.stored, cost.turns) == (4, 8, 8, 8)
    assert Evaluate(config, 0).steps == plain.steps == 1


def test_a_suite_beside_those_of_a_world_leaves_these_as_they_are(questions: Path) -> None:
    config = load_config("nano", None, [f"evaluation.suites=[{questions}]"])
    own = MiniatureMeter().suites(config.evaluation, 5)
    both = meter_of(config).suites(config.evaluation, 5)
    assert [(x.part, x.key) for x in both] == [*((x.part, x.key) for x in own), (SUITES, "totals")]
    assert meter_of(config).knows_labels


def test_asking_for_names_and_steps_of_phases_needs_no_suite(tmp_path: Path) -> None:
    phase = Evaluate(load_config("nano", None, [f"evaluation.suites=[{tmp_path / 'gone.jsonl'}]"]), 0)
    assert phase.steps == 3  # held-out problems, the suite, and the control
    with pytest.raises(ConfigError, match=r"gone\.jsonl"):
        phase.cost(phase._config)


def test_a_run_reads_its_own_copy_whatever_becomes_of_the_source(questions: Path, tmp_path: Path) -> None:
    found = section(questions, suite_limit=2)
    folder = begun(tmp_path / "run", found)
    (source,) = chosen(found)
    whole = source.load()
    questions.unlink()
    (kept,) = kept_sources(folder.records, found) or ()
    again = kept.load()
    assert set(again.problems) < set(whole.problems)
    assert (len(again.problems), again.digest, again.copy) == (2, whole.digest, whole.copy)
    assert all(problem.task.measuring_only for problem in again.problems)
    facts = facts_of(folder.records)
    assert facts is not None
    assert (facts["totals"].n, facts["totals"].size, facts["totals"].digest) == (2, 3, whole.digest)
    assert kept_files(folder.records) == [folder.path / table_of("totals")]
    assert keep(folder, (kept,), 2) == folder.records.facts["suites"]
    (gone,) = changes(folder.records, found)
    assert "can no longer be read" in gone


def test_a_changed_file_is_only_told_while_the_runs_copy_is_whole(questions: Path, tmp_path: Path) -> None:
    found = section(questions)
    folder = begun(tmp_path / "run", found)
    assert list(changes(folder.records, found)) == []
    written(questions, {"What is 1 + 1?": "3"})
    (line,) = changes(folder.records, found)
    assert "has changed since the run began" in line
    assert "goes on with its own copy" in line


def test_without_its_copy_a_run_takes_the_source_again_if_it_is_the_same(questions: Path, tmp_path: Path) -> None:
    found = section(questions, suite_limit=2)
    folder = begun(tmp_path / "run", found)
    before = (folder.path / table_of("totals")).read_bytes()
    (folder.path / table_of("totals")).unlink()
    (kept,) = kept_sources(folder.records, found) or ()
    assert keep(folder, (kept,), 2) == folder.records.facts["suites"]
    assert (folder.path / table_of("totals")).read_bytes() == before


def test_without_its_copy_a_run_refuses_another_source_and_names_both(questions: Path, tmp_path: Path) -> None:
    found = section(questions)
    folder = begun(tmp_path / "run", found)
    (folder.path / table_of("totals")).write_bytes(b"not what was written")
    old = chosen(found)[0].load().digest
    written(questions, {"What is 1 + 1?": "3"})
    (kept,) = kept_sources(folder.records, found) or ()
    with pytest.raises(RunError) as caught:
        kept.load()
    assert old in caught.value.what
    assert chosen(found)[0].load().digest in caught.value.what
    assert "new run" in caught.value.fix
    questions.unlink()
    with pytest.raises(RunError, match="cannot be read any more") as caught:
        kept_sources(folder.records, found)[0].load()  # type: ignore[index]
    assert old in caught.value.fix


def test_every_kind_of_problem_comes_back_from_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def even(answer: str) -> bool:
        return answer in ("2", "4")

    kinds = (
        Problem(task_of("mine", "a", "Which colour?"), "B", Kind.CHOICE, ("red", "blue"), "easy", "colours"),
        Problem(task_of("mine", "b", "Which town?"), "Rome", Kind.FUZZY),
        Problem(task_of("mine", "c", "What is 1 / 2?"), "1/2"),
    )
    scored = (*kinds, Problem(task_of("mine", "d", "An even number?"), "2", scorer=even))
    for problems in (kinds, scored):
        loads: list[int] = []

        def load(problems: tuple[Problem, ...] = problems, loads: list[int] = loads) -> Loaded:
            loads.append(1)
            return Loaded(problems, "by hand", content_digest(problems))

        monkeypatch.setattr(module, "find", lambda spec, folder=None, load=load: Source("mine", 4, "MIT", load))
        folder = begun(tmp_path / f"run-{len(problems)}", section("mine"))
        loads.clear()
        (kept,) = kept_sources(folder.records, section("mine")) or ()
        assert kept.load().problems == problems
        assert len(loads) == (problems is scored)  # only a scorer cannot be kept


def test_no_problem_of_a_suite_can_be_labelled_for_training(questions: Path) -> None:
    (source,) = chosen(section(questions))
    for problem in source.load().problems:
        with pytest.raises(ValueError, match="measuring only"):
            LabelledTask(problem.task, "2", 1.0)
