"""The recipes for clusters can be read, and what they call and copy exists. Nothing is built or submitted."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from coevolve.cli import app
from coevolve.methods.registry import load_config

ROOT = Path(__file__).parents[1]
SLURM, KUBERNETES = (ROOT / "examples" / "cluster" / name for name in ("sandbox-hosts.sbatch", "kubernetes.yaml"))
RECIPES = [SLURM, KUBERNETES]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_options_of_every_command_in_a_recipe_exist(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    options = set(re.findall(r"(--(?:max-restarts|set|preset|host|port|workers))\b", text))
    helped = {c: CliRunner().invoke(app, [*c.split(), "--help"]).output for c in ("run", "resume", "sandbox serve")}
    assert "--max-restarts" in helped["run"]
    assert "--max-restarts" in helped["resume"]
    assert all(any(option in page for page in helped.values()) for option in options), options


def test_a_run_of_the_recipes_has_a_configuration_that_can_be_used() -> None:
    urls = "sandbox.url=[http://sandbox-0.sandbox:8765,http://sandbox-1.sandbox:8765]"
    for recipe in RECIPES:
        text = recipe.read_text(encoding="utf-8")
        assert "sandbox.backend=remote" in text
        assert "qwen3-4b-1gpu" in text
    config = load_config("qwen3-4b-1gpu", overrides=["sandbox.backend=remote", urls, "run.dir=/runs/run"])
    assert len(config.sandbox.addresses) == 2


def test_the_slurm_script_is_one_that_the_shell_can_read() -> None:
    assert subprocess.run(["bash", "-n", str(SLURM)], check=False).returncode == 0


def test_the_kubernetes_objects_belong_together() -> None:
    objects = {one["kind"]: one for one in yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))}
    hosts, policy, job = objects["StatefulSet"], objects["NetworkPolicy"], objects["Job"]
    labels = hosts["spec"]["template"]["metadata"]["labels"]
    assert labels == hosts["spec"]["selector"]["matchLabels"] == policy["spec"]["podSelector"]["matchLabels"]
    assert labels == objects["Service"]["spec"]["selector"]
    assert policy["spec"]["egress"] == []
    trainer = job["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["ingress"][0]["from"] == [{"podSelector": {"matchLabels": trainer}}]
    for n in range(hosts["spec"]["replicas"]):
        assert f"http://{hosts['metadata']['name']}-{n}.{hosts['spec']['serviceName']}:8765" in str(job)


def test_what_the_container_file_copies_and_installs_exists() -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for sources in re.findall(r"^COPY (.+) \S+$", text, re.M):
        assert all((ROOT / source).exists() for source in sources.split())
    for extras in re.findall(r"\.\[([\w,]+)\]", text):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert "coevolve" in project["scripts"]
    assert {"cpu", "cuda"} <= set(re.findall(r"^FROM \S+ AS (\w+)$", text, re.M))
    (version,) = set(re.findall(r"torch==[\d.]+", text))
    assert version in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
