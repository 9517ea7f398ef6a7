"""Loading: what overrides what, and that every fault names its key, its source and the way out."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from coevolve.config import at_iteration
from coevolve.config.acting import Distribution
from coevolve.config.keys import config_keys, nearest, section_names
from coevolve.config.loading import parse_yaml, preset_names
from coevolve.errors import ConfigError
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.registry import METHODS, load_config

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def fault(
    *overrides: str, preset: str | None = None, file: Path | None = None, method: str | None = None
) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(preset, file, overrides, method=method)
    return caught.value


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_names_itself(name: str) -> None:
    assert load_config(name).preset == name


def test_the_default_preset_is_mini() -> None:
    assert load_config() == load_config("mini")
    assert {"mini", "mini-paper", "nano"} <= set(preset_names())


def test_the_paper_preset_keeps_the_formulas_of_the_paper() -> None:
    config = load_config("mini-paper")
    assert (config.reward.peak, config.reward.lambda_rep, config.reward.mask_numbers) == (0.5, 1.0, False)
    assert (config.reward.lambda_unc, config.reward.lambda_tool, config.reward.tool_cap) == (1.0, 0.6, 4)
    assert (config.gate.lower, config.gate.upper) == (0.3, 0.8)
    assert (config.pool.voters, config.pool.votes, config.proposer.votes) == (["current"], 10, 10)


def test_the_presets_of_r_zero_keep_its_paper_and_its_code() -> None:
    paper, code = load_config("r-zero"), load_config("r-zero-code")
    for config in (paper, code):
        assert (config.method, config.objective, config.tool.enabled) == ("r-zero", "grpo", False)
        assert (config.proposer.group_size, config.solver.group_size) == (4, 5)
        assert {config.proposer.clip_low, config.solver.clip_low} == {0.2}
        assert {config.proposer.clip_high, config.solver.clip_high} == {0.3}
    assert (paper.gate.lower, paper.gate.upper, paper.pool.votes, paper.pool.count_missing) == (0.25, 0.75, 10, True)
    assert (paper.reward.lambda_unc, paper.reward.clip_at_zero, paper.reward.malformed) == (1.0, True, 0.0)
    assert (code.gate.lower, code.gate.upper, code.pool.votes, code.pool.count_missing) == (0.3, 0.8, 9, False)
    assert (code.reward.lambda_unc, code.reward.clip_at_zero, code.reward.malformed) == (0.5, False, -1.0)


def test_every_method_has_a_preset_of_its_own(write: Write) -> None:
    for name, method in METHODS.items():
        config = load_config(method=name)
        assert (config.method, config.preset, type(config)) == (name, method.default_preset, method.config)
    assert load_config(None, write("method: r-zero\nseed: 3\n")).preset == "r-zero"
    assert "not of agent0" in fault(preset="r-zero", method="agent0").what


@pytest.mark.parametrize(
    ("override", "why"),
    [("tool.enabled=true", "has no tool"), ("reward.lambda_tool=0.6", "has no tool"), ("objective=adpo", "plain GRPO")],
)
def test_r_zero_with_what_agent0_adds_is_refused(override: str, why: str) -> None:
    assert why in fault(override, method="r-zero").what


def test_overrides_win_over_the_file_and_the_file_over_the_preset(write: Write) -> None:
    file = write("reward:\n  lambda_rep: 0.25\n  lambda_unc: 0.75\n")
    config = load_config("mini", file, ["reward.lambda_unc=2"])
    assert (config.reward.lambda_rep, config.reward.lambda_unc) == (0.25, 2.0)
    assert config.reward.mask_numbers is True  # from the preset


def test_the_last_of_two_overrides_wins() -> None:
    assert load_config(None, None, ["seed=1", "seed=2"]).seed == 2


def test_a_file_may_name_its_preset_and_the_option_wins(write: Write) -> None:
    file = write("preset: nano\n")
    assert load_config(None, file).preset == "nano"
    assert load_config("mini-paper", file).preset == "mini-paper"


def test_a_resolved_configuration_reads_back_exactly(tmp_path: Path) -> None:
    config = load_config("nano", None, ["proposer.lr=1e-5", "gate.lower=[0.1,0.2]", "run.name=x"])
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump()), encoding="utf-8")
    assert load_config(None, path) == config


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("gate.lower=0.5", 0.5),
        ("gate.lower=0", 0),
        ("proposer.lr=1e-4", 1e-4),  # a text to YAML 1.1
        ("proposer.steps=[8, 4, 4]", [8, 4, 4]),
        ("proposer.train=false", False),
        ("run.dir=/tmp/x", "/tmp/x"),
        ("run.name=007", "007"),
        ("run.name=no", "no"),
        ("run.dir=null", None),
        ("run.dir=a=b", "a=b"),
        ("pool.voters=[current, base]", ["current", "base"]),
    ],
)
def test_values_mean_what_they_look_like(override: str, value: object) -> None:
    config = load_config(None, None, [override])
    section, _, leaf = override.partition("=")[0].partition(".")
    assert getattr(getattr(config, section), leaf) == value


@pytest.mark.parametrize(
    "override",
    [
        "proposer.train=false",
        "reward.lambda_tool=0",
        "reward.lambda_rep=0",
        "gate.enabled=false",
        "objective=grpo",
        "tool.max_turns=1",
        "tool.enabled=false",
    ],
)
def test_every_ablation_of_the_paper_is_one_override(override: str) -> None:
    assert load_config(None, None, [override]) != load_config()


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("reward.lambda_tol=1", "reward.lambda_tool"),
        ("lambda_tool=1", "reward.lambda_tool"),
        ("gates.lower=1", "gate.lower"),
        ("sed=1", "seed"),
        ("model.dtyp=float32", "model.dtype"),
    ],
)
def test_an_unknown_key_names_the_nearest_one_and_where_it_was_written(override: str, meant: str) -> None:
    error = fault(override)
    assert error.what == f"unknown key {override.partition('=')[0]} (did you mean {meant}?)"
    assert error.where == "--set"
    assert error.fix.startswith("all keys: coevolve config")
    assert error.exit_code == 2


def test_a_key_like_no_other_gets_no_guess() -> None:
    assert fault("qqqq=1").what == "unknown key qqqq"


def test_faults_in_a_file_name_the_file(write: Write) -> None:
    file = write("reward:\n  lambda_tol: 1\n")
    assert fault(file=file).where == str(file)
    file = write("gate:\n  lower: 1.5\n")
    assert fault(file=file).where == str(file)


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("gate.lower=1.5", "number from 0 to 1, or a list of these"),
        ("gate.lower=[0.1, 2]", "number from 0 to 1, or a list of these"),
        ("proposer.steps=[]", "integer at least 1, or a list of these"),
        ("solver.steps=2.5", "integer at least 1, or a list of these"),
        ("proposer.lr=0", "number above 0"),
        ("proposer.lr=.nan", "number above 0"),
        ("proposer.lr=.inf", "number above 0"),
        ("reward.bleu_threshold=0", "number above 0 and at most 1"),
        ("seed=true", "integer at least 0"),
        ("tool.enabled=1", "true or false"),
        ("objective=ppo", "adpo | grpo or module:name"),
        ("pool.voters=[nobody]", "non-empty list of (current | previous | middle | first | base)"),
        ("seed=", "integer at least 0"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_what_can(override: str, allowed: str) -> None:
    error = fault(override)
    assert error.what.startswith(override.partition("=")[0] + " = ")
    assert error.where == "--set"
    assert error.fix == f"allowed: {allowed}"


def test_all_bad_keys_are_named_at_once() -> None:
    assert "solver.steps" in fault("gate.lower=7", "solver.steps=x").what


def test_an_impossible_combination_shows_both_values_and_their_sources() -> None:
    error = fault("gate.lower=0.9", preset="mini-paper")
    assert "no task could ever be kept" in error.what
    assert error.where == "gate.lower = 0.9 (--set), gate.upper = 0.8 (preset mini-paper)"


def test_a_section_is_not_a_value() -> None:
    assert fault("reward=3").fix == "keys in it: coevolve config reward"


@pytest.mark.parametrize("override", ["gate.lower", "=1", "proposer.steps=[8,4", "preset=nano", "method=agent0"])
def test_an_override_that_is_none_says_how_to_write_it(override: str) -> None:
    error = fault(override)
    assert error.where.startswith("--set")
    assert error.fix


@pytest.mark.parametrize(
    "text",
    ["- a\n- b\n", "seed: [1\n", "seed: 1\nseed: 2\n", "gate: 3\n", "gate.lower: 0.1\ngate: {lower: 0.2}\n"],
)
def test_a_file_that_is_no_configuration_is_refused(write: Write, text: str) -> None:
    file = write(text)
    assert str(file) in fault(file=file).where


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "No such file" in fault(file=tmp_path / "absent.yaml").what
    assert str(tmp_path) in fault(file=tmp_path).where
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in fault(file=binary).what


def test_an_empty_file_or_section_changes_nothing(write: Write) -> None:
    assert load_config(None, write("")) == load_config()
    assert load_config(None, write("reward:\n")) == load_config()


def test_unknown_presets_and_methods_list_what_there_is() -> None:
    assert fault(preset="minni").what == "unknown preset minni (did you mean mini?)"
    assert "nano" in fault(preset="minni").fix
    assert fault(method="agent1").what == "unknown method agent1 (did you mean agent0?)"


def test_every_key_is_described_and_has_its_own_line() -> None:
    keys = config_keys(CoevolutionConfig)
    assert [key.name for key in keys.values() if not key.description] == []
    assert keys["reward.lambda_tool"].default == CoevolutionConfig().reward.lambda_tool
    assert {key.section for key in keys.values()} == {"", *section_names(CoevolutionConfig)}


def test_a_same_named_key_of_the_likelier_section_is_nearest() -> None:
    assert nearest("gates.lower", ["adpo.lower", "gate.lower"]) == "gate.lower"
    assert nearest("zzz", ["adpo.lower", "gate.lower"]) is None


def test_a_short_list_repeats_its_last_entry() -> None:
    assert [at_iteration([8, 4], t) for t in (1, 2, 3)] == [8, 4, 4]
    assert at_iteration(5, 3) == 5


def test_an_unquoted_off_is_off() -> None:
    assert load_config(overrides=["sandbox.namespaces=off"]).sandbox.namespaces == "off"
    assert load_config(overrides=["sandbox.namespaces=auto"]).sandbox.namespaces == "auto"


def test_prompts_that_speak_of_a_tool_need_one_and_the_others_have_none() -> None:
    for overrides, key in (
        (["world=open", "tool.enabled=false"], "model.prompts"),
        (["world=open", "model.prompts=plain"], "tool.enabled"),
        (["model.prompts=r-zero"], "model.prompts"),
    ):
        with pytest.raises(ConfigError) as error:
            load_config("mini", None, overrides)
        assert key in str(error.value)
    assert load_config("mini", None, ["world=open", "model.prompts=plain", "tool.enabled=false"]).world == "open"


def test_the_key_of_prompts_may_be_given_by_the_name_that_it_had(write: Write) -> None:
    file = write("world: open\nmodel:\n  contract: plain\ntool.enabled: false\n")
    assert load_config("smoke-hf", file).model.prompts == "plain", "over the preset's"
    asked = ["world=open", "model.contract=r-zero", "tool.enabled=false"]
    assert load_config("mini", None, asked).model.prompts == "r-zero"
    with pytest.raises(ConfigError, match=r"model\.prompts stands twice"):
        load_config("mini", write("model: {contract: plain, prompts: plain}\n"))


def test_a_prompt_file_is_named_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text('solver: {task: "{question}"}\nproposer: {task: Write.}\n')
    assert load_config("smoke-hf", None, ["model.prompts=mine.yaml"]).model.prompts == str(tmp_path / "mine.yaml")
    with pytest.raises(ConfigError, match="cannot read the prompt file"):
        load_config("smoke-hf", None, ["model.prompts=none.yaml"])


def test_a_proposer_that_must_begin_with_its_question_has_no_use_for_a_tool() -> None:
    with pytest.raises(ConfigError, match=r"proposer\.tool needs other prompts"):
        load_config("smoke-hf", None, ["model.prompts=arithmetic", "proposer.tool=true"])


def test_the_probe_allows_what_the_precision_of_the_weights_needs() -> None:
    assert load_config().probe_tolerance == 1e-5
    assert load_config(overrides=["model.dtype=bfloat16"]).probe_tolerance == 0.03
    assert load_config(overrides=["model.dtype=bfloat16", "engine.probe_tolerance=0.1"]).probe_tolerance == 0.1


def test_keys_may_be_taken_over_from_another_mapping_and_still_stand_once() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n"
    assert parse_yaml(text, "a file") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}
    with pytest.raises(ConfigError, match="<< stands twice"):
        parse_yaml(f"{text}c: {{<<: *a, <<: *a}}", "a file")


def test_a_section_inside_a_section_is_set_by_its_dotted_name_or_nested(write: Write) -> None:
    dotted = load_config(overrides=["sampling.solver.top_p=0.9", "sampling.votes.top_k=40"])
    nested = load_config(None, write("sampling:\n  solver: {top_p: 0.9}\n  votes:\n    top_k: 40\n"))
    mixed = load_config(None, write("sampling.solver: {top_p: 0.9}\nsampling.votes.top_k: 40\n"))
    assert dotted.sampling == nested.sampling == mixed.sampling
    assert (dotted.sampling.solver.top_p, dotted.sampling.votes.top_k) == (0.9, 40)
    assert load_config(None, write("sampling:\n  solver:\n")) == load_config()
    path = write(yaml.safe_dump(dotted.model_dump()))
    assert load_config(None, path) == dotted


def test_faults_in_a_section_inside_a_section_name_the_key(write: Write) -> None:
    error = fault("sampling.solver.topp=0.9")
    assert error.what == "unknown key sampling.solver.topp (did you mean sampling.solver.top_p?)"
    error = fault("sampling.solver.top_p=1.5")
    assert error.what == "sampling.solver.top_p = 1.5 is not allowed"
    assert error.fix == "allowed: number above 0 and at most 1 or null"
    assert fault("sampling.solver=0.9").what == "sampling.solver is a section, not a value"
    file = write("sampling.solver.top_p: 0.5\nsampling: {solver: {top_p: 0.5}}\n")
    assert fault(file=file).what == "the key sampling.solver.top_p stands twice"


def test_keys_of_an_agent_go_before_those_of_both_and_keys_of_a_use_before_those_of_its_agent() -> None:
    sampling = load_config(
        overrides=["sampling.temperature=0.8", "sampling.solver.top_p=0.9", "sampling.labels.temperature=1.2"]
    ).sampling
    assert sampling.of("proposer") == sampling.of("proposer", "pool") == Distribution(0.8)
    assert sampling.of("solver") == sampling.of("solver", "votes") == Distribution(0.8, 0.9)
    assert sampling.of("solver", "labels") == Distribution(1.2, 0.9)
    assert sampling.of("judge") == Distribution(0.8)  # an agent of another method


def test_vllm_bounds_the_temperature_of_every_use() -> None:
    error = fault("engine.sampler=vllm", "sampling.votes.temperature=2.5")
    assert "sampling.votes.temperature above 2" in error.what
    assert load_config(overrides=["sampling.votes.temperature=2.5"]).sampling.of("solver", "votes").temperature == 2.5


@pytest.mark.parametrize("value", ["1", "0.5", "0"])
def test_a_dual_clip_lies_above_one(value: str) -> None:
    assert fault(f"solver.dual_clip={value}").fix == "allowed: number above 1 or null"


def test_micro_batches_divide_a_mean_over_tokens_only() -> None:
    error = fault("solver.micro_batch=2", "solver.loss=sequence")
    assert error.where == "solver.loss = sequence (--set), solver.micro_batch = 2 (--set)"


def test_vllm_serves_adapters_up_to_its_largest_table() -> None:
    error = fault("engine.sampler=vllm", "engine.workers=1", "lora.enabled=true", "lora.rank=513")
    assert "serves no lora.rank above 512" in error.what
    assert "1, 8, 16, 32, 64, 128, 256, 320, 512" in error.what
    assert "lora.rank = 513 (--set)" in error.where
    for rank in (1, 24, 512):
        load_config(overrides=["engine.sampler=vllm", "engine.workers=1", "lora.enabled=true", f"lora.rank={rank}"])
    load_config(overrides=["lora.enabled=true", "lora.rank=600"])  # our own sampler serves any
