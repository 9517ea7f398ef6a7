"""A filled pool and its table of tasks: what became of every text that the proposer wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from coevolve.curriculum.checks import Known
from coevolve.curriculum.gate import Gate, Reason
from coevolve.methods.base import Store
from coevolve.methods.metrics import mean
from coevolve.methods.questions import Written
from coevolve.types import Group, Trajectory
from coevolve.worlds.base import World

_OUTSIDE: dict[Reason, str] = {"below": "outside the gate", "above": "outside the gate"}


@dataclass(frozen=True, slots=True)
class Pool:
    """A filled pool.

    Args:
        texts: everything that the proposer wrote.
        fates: of the texts: ``malformed``, ``duplicate``, ``reserved``, or ``asked``.
        groups: of the texts that were asked, in their order: the newest voter's answers with the vote of all voters.
        known: what is known of the groups without a true answer.
        gate: what became of the groups.
        labels: of kept tasks, by id, where they are not what the votes say.
    """

    iteration: int
    texts: Sequence[Written]
    fates: Sequence[str]
    groups: Sequence[Group]
    known: Sequence[Known]
    gate: Gate
    labels: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def kept(self) -> list[str]:
        """Ids of the tasks that the gate kept, sorted."""
        return sorted(group.task.id for group in self.gate.kept)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A row of ``tasks/iteration-t.parquet``: what became of one text. Where nobody voted, what votes give is None."""

    iteration: int
    task_id: str
    question: str
    steps: int
    topic: str
    well_formed: bool
    duplicate: bool
    reserved: bool
    proposed_answer: str | None
    p_hat: float | None
    label: str | None
    counts: list[dict[str, str | int]]  # answer, votes
    forms: list[list[str]]
    valid: int | None
    k: int | None
    tied: bool | None
    kept: bool
    reason: str
    tool_calls: float | None
    refused: list[dict[str, str | int]] | None = None  # reason, answers; of the newest voter
    # What is known without a true answer (coevolve.curriculum.checks.Known); older runs have none of it.
    outputs: int | None = None
    supported: int | None = None
    programs: int | None = None
    shape: str | None = None
    numbers: float | None = None
    refusals: float | None = None
    own_answer_agrees: bool | None = None
    # What its writer was asked for; empty where prompts name no topics.
    asked_topic: str = ""
    asked_level: str = ""


def table_of(iteration: int) -> str:
    """Where the tasks of a pool stand in the run folder."""
    return f"tasks/iteration-{iteration}.parquet"


def read_tasks(store: Store, iteration: int) -> list[TaskRow]:
    """The tasks of a pool as its phase wrote them down."""
    return [TaskRow(**row) for row in store.read_table(table_of(iteration))]


def task_rows(pool: Pool, world: World) -> list[dict[str, object]]:
    """One row per written text, in the order of writing."""
    asked = zip(pool.groups, pool.known, pool.gate.fates, strict=True)
    voted = {group.task.id: (group, known, fate) for group, known, fate in asked}
    return [
        asdict(_task_row(pool, n, text, fate, voted.get(text.task.id) if text.task else None, world))
        for n, (text, fate) in enumerate(zip(pool.texts, pool.fates, strict=True))
    ]


def _task_row(
    pool: Pool, n: int, text: Written, fate: str, voted: tuple[Group, Known, Reason] | None, world: World
) -> TaskRow:
    iteration, task = pool.iteration, text.task
    described: Mapping[str, int | str] = world.describe(text.question) if task else {"steps": 0, "topic": ""}
    group, known, reason = voted or (None, None, None)
    vote = group.vote if group else None
    return TaskRow(
        iteration=iteration,
        task_id=task.id if task else f"p{iteration}-{n:04d}",
        question=text.question or text.trajectory.text,
        steps=int(described["steps"]),
        topic=str(described["topic"]),
        well_formed=task is not None,
        duplicate=fate == "duplicate",
        reserved=fate == "reserved",
        proposed_answer=task.proposed_answer if task else None,
        p_hat=vote.p_hat if vote else None,
        label=pool.labels.get(group.task.id, vote.answer) if group and vote else None,
        counts=[{"answer": answer, "votes": votes} for answer, votes in vote.counts] if vote else [],
        forms=[list(keys) for keys in vote.forms] if vote else [],
        valid=vote.valid if vote else None,
        k=vote.k if vote else None,
        tied=vote.tied if vote else None,
        kept=reason == "kept",
        reason=_OUTSIDE.get(reason, reason) if reason else fate,
        tool_calls=mean([len(x.tool_calls) for x in group.trajectories]) if group else None,
        refused=_refused(group.trajectories) if group else None,
        outputs=known.outputs if known else None,
        supported=known.supported if known else None,
        programs=known.programs if known else None,
        shape=known.shape if known else None,
        numbers=known.numbers if known else None,
        refusals=known.refusals if known else None,
        own_answer_agrees=known.own_answer if known else None,
        asked_topic=text.asked.topic,
        asked_level=text.asked.level,
    )


def _refused(answers: Sequence[Trajectory]) -> list[dict[str, str | int]]:
    counts = Counter(x.refused for x in answers if x.refused)
    return [{"reason": reason, "answers": n} for reason, n in sorted(counts.items())]
