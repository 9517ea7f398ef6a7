"""Trajectories and tasks made by hand, and a configuration of the nano preset with any keys changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from coevolve.config import Config
from coevolve.methods.registry import load_config
from coevolve.types import PROPOSER, LabelledTask, Origin, StopReason, Task, ToolCall, Trajectory

ORIGIN = Origin("agent0", PROPOSER, 1)


@pytest.fixture
def config() -> Callable[..., Config]:
    """``config("reward.lambda_tool=0", ...)``."""
    return lambda *overrides: load_config("nano", overrides=overrides)


@pytest.fixture
def trajectory() -> Callable[..., Trajectory]:
    def make(
        text: str = "", answer: str | None = None, *, stop: StopReason = StopReason.EOS, calls: int = 0, length: int = 4
    ) -> Trajectory:
        return Trajectory(
            task_id="t",
            sample=0,
            prompt=np.array([3, 4], np.int32),
            tokens=np.arange(5, 5 + length, dtype=np.int32),
            mask=np.ones(length, np.bool_),
            logprobs=np.full(length, -0.5, np.float32),
            text=text,
            tool_calls=(ToolCall("print(1)", "1", "ok"),) * calls,
            answer=answer,
            stop=stop,
            policy="p",
            policy_versions=(0,),
            contract="c",
        )

    return make


@pytest.fixture
def labelled() -> Callable[..., LabelledTask]:
    def make(name: str, label: str = "1", p_hat: float = 0.5) -> LabelledTask:
        return LabelledTask(Task(name, (f"Find {name}.",), "chain", ORIGIN), label, p_hat)

    return make
