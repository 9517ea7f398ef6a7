"""The questions of this folder as a task of inspect, for any model: inspect eval own_questions.py --model MODEL.

The right answer is the last box of the text. Nothing here needs coevolve; docs/harnesses.md has the whole command.
"""

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import pattern
from inspect_ai.solver import generate


@task
def own_questions() -> Task:
    rows = FieldSpec(input="question", target="answer", metadata=["level"])
    return Task(
        dataset=json_dataset(str(Path(__file__).with_name("questions.jsonl")), rows),
        solver=generate(),
        scorer=pattern(r"(?s).*\\boxed\{([^{}]*)\}"),
        config=GenerateConfig(temperature=0.0),
    )
