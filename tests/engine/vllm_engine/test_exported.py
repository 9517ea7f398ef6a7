"""A merged export writes in vLLM what its agent writes in the run: `COEVOLVE_RUN=DIR make test-vllm` for your own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from exported_run import GIVEN, TIE, USERS_CACHE, by_the_run, gaps, sampled, tiny_run
from transformers import AutoModelForCausalLM

from coevolve.engine.vllm.sampler import VllmSampler
from coevolve.export.folders import export

pytestmark = pytest.mark.vllm


def test_a_merged_export_writes_the_texts_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., VllmSampler]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", USERS_CACHE if GIVEN else str(tmp_path / "cache"))
    run = Path(GIVEN) if GIVEN else tiny_run(tmp_path, head_dim=32)  # a width that vLLM's kernels for CPUs know
    prompts, ours = by_the_run(run, 64)
    merged = export(run, tmp_path / "merged", ["models"], merge=True).folders["solver"]
    theirs = sampled(opened(merged, vllm={"cache_gb": 1.0}), prompts, 64)
    model = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    apart = gaps(model, prompts, ours, theirs)
    assert all(gap < TIE for gap in apart), apart
