"""The data set of a run: its tables joined to one Parquet file per split, and a card that lists their columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from coevolve.evaluation.chosen import facts_of
from coevolve.export import cards
from coevolve.store import tables
from coevolve.store.records import RunRecords
from coevolve.worlds.base import SUITES

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True, slots=True)
class Source:
    """Which tables of a run become a split.

    Args:
        config: configuration of the data set.
        split: split of it.
        prefixes: of the tables' names in the run folder.
        kind: a name of which ``tables.columns_of`` knows the columns.
        row: what a row is.
    """

    config: str
    split: str
    prefixes: tuple[str, ...]
    kind: str
    row: str

    @property
    def file(self) -> str:
        """Its file in the folder of the data set."""
        return f"{self.config}/{self.split}.parquet"

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Its columns: those of the run's tables, and ``iteration`` also where only the file's name had it."""
        return {"iteration": pa.int32()} | dict(tables.columns_of(self.kind))


# True answers stand in the two meter configurations only, and these have no split to train on.
SOURCES = (
    Source(
        "tasks",
        "train",
        ("tasks/iteration-",),
        "tasks/iteration",
        "a text that was to be a task, with the votes on it and whether the gate kept it",
    ),
    Source(
        "trajectories",
        "train",
        ("trajectories/pool-",),
        "trajectories/pool",
        "an answer to a task of a pool, token by token",
    ),
    Source(
        "trajectories",
        "test",
        ("trajectories/held-out-", "trajectories/transfer-"),
        "trajectories/held-out",
        "an answer to a held-out or transfer problem; for measuring, do not train on these",
    ),
    Source(
        "meter",
        "pool",
        ("meter/tasks-",),
        "meter/tasks-1",
        "a task that was voted on, with its true answer and whether the majority found it",
    ),
    Source(
        "meter_evaluation",
        "test",
        ("meter/evaluation-",),
        "meter/evaluation-1",
        "a held-out or transfer problem with its true answer; do not train on these",
    ),
)

_LABELS = (
    "**What is pseudo-labelled:** `label` in `tasks` is the majority vote of sampled answers, `p_hat` its share, and "
    "both can be wrong; `proposed_answer` is what the agent that wrote the task claimed. No true answer took part in "
    "the training. True answers are known for measuring only, stand in `meter` and `meter_evaluation` alone, and are "
    "joined by `iteration` and `task_id`."
)

_LEFT_OUT = (
    "**What is left out:** the run was also measured on {}. Questions, true answers and the answers given to them are "
    "no part of this data set: they have licences of their own, and what is published ends up in training sets."
)

_COLUMNS: dict[str, str] = {
    "iteration": "iteration of the run; 0 measures the base model",
    "task_id": "name of the task, unique in its iteration",
    "question": "the text of the task",
    "steps": "operations in it; 0 when it is malformed",
    "topic": "the last operation",
    "asked_topic": "the topic that its writer was asked for, where the prompts have topics",
    "unrun": "programs that were closed and never ran",
    "asked_level": "the level that its writer was asked for, where the prompts have levels",
    "well_formed": "whether the world's grammar can read it",
    "duplicate": "whether this pool or an earlier one has it already",
    "reserved": "whether it belongs to the part that is kept for measuring",
    "proposed_answer": "what the agent that wrote it claimed, if anything; never used as a label",
    "p_hat": "share of the largest class of answers",
    "label": "pseudo-label: the answer of that class",
    "counts": "all classes of answers with their votes",
    "forms": "the spellings that count as one answer, by class",
    "valid": "answers that hold an answer",
    "k": "answers in all",
    "tied": "whether another class is as large",
    "kept": "whether it was kept for training",
    "reason": "why, or why not",
    "tool_calls": "mean number of tool calls; in `trajectories`: the calls, each with code, output shown, and status",
    "refused": "in `tasks`: boxes that were no answer, by reason; in `trajectories`: the reason, empty where none was",
    "outputs": "answers for the label whose last working program printed something",
    "supported": "those of them whose program printed the label last",
    "programs": "programs of different shape among them",
    "shape": "digest of the most frequent shape of these programs",
    "numbers": "mean share of the question's numbers that these programs use",
    "refusals": "share of answers that call the question unanswerable",
    "own_answer_agrees": "whether `proposed_answer` is the label",
    "phase": "phase of the run that made it",
    "set": "which problems: pool, a level, or a transfer set",
    "sample": "number of the answer among those to the same question",
    "policy": "which weights wrote it",
    "policy_versions": "which versions of its weights wrote it: how often the sampler's had changed before",
    "agent": "id of the agent that wrote it",
    "seat": "its place in an episode of several seats, from 0",
    "reward": "what the environment paid, where it pays",
    "contract": "hash of prompt format, limits and sampling",
    "text": "everything after the prompt; tool output stands in output blocks",
    "answer": "content of the last box; null when there is none",
    "stop": "why it ended: eos, length, turns, protocol (a forged output block), infrastructure (sandbox lost)",
    "prompt": "token ids of the prompt",
    "tokens": "token ids after the prompt",
    "mask": "true where the policy sampled the token, false in tool output",
    "logprobs": "log-probability that each token was sampled with; 0 where mask is false",
    "truth": "the true answer; null where there is none or it is not known",
    "label_right": "whether the pseudo-label is true; null where that is not known",
    "samples_right": "right answers",
    "majority": "the answer with most votes",
    "majority_right": "whether that is true",
    "greedy_right": "whether the greedy answer is true",
}


def write_dataset(path: Path, folder: RunRecords, run: cards.RunFacts, until: int | None) -> None:
    """Fill a new folder with the tables of finished phases, up to an iteration where one is given, and their card.

    Raises:
        OSError: the disk refuses.
        RunError: a table is damaged.
    """
    path.mkdir(parents=True)
    splits = {}
    for source in SOURCES:
        names = [
            name
            for prefix in source.prefixes
            for name in folder.recorded(prefix)
            if until is None or _iteration(name) <= until
        ]
        if names:
            splits[source] = _write_split(path / source.file, folder, source, names)
    (path / "README.md").write_text(dataset_card(run, splits, list(facts_of(folder) or ())), encoding="utf-8")


def dataset_card(run: cards.RunFacts, splits: Mapping[Source, int], suites: Sequence[str] = ()) -> str:
    """README.md of the data set: ``configs`` for loaders, the columns for people.

    Args:
        run: what made it.
        splits: rows of each split that there is.
        suites: that the run was measured on as well, and that are no part of the data.
    """
    from huggingface_hub import DatasetCardData  # brings httpx along

    by_config: dict[str, list[Source]] = {}
    for source in splits:
        by_config.setdefault(source.config, []).append(source)
    total = sum(splits.values())
    header = DatasetCardData(
        pretty_name=f"{run.method} {run.preset}, seed {run.seed}: tasks and trajectories",
        language=["en"],
        annotations_creators=["machine-generated"],
        language_creators=["machine-generated"],
        size_categories=[next((size for limit, size in _SIZES if total < limit), "n>1M")],
        task_categories=["text-generation", "question-answering"],
        tags=run.tags("synthetic"),
        configs=[
            {"config_name": name, "data_files": [{"split": one.split, "path": one.file} for one in sources]}
            | ({"default": True} if name == "tasks" else {})
            for name, sources in by_config.items()
        ],
    )
    load = f'tasks = load_dataset("FOLDER-OR-NAME", "{next(iter(by_config))}", split="train")'
    parts = [
        f"# {run.title}: the tasks and answers of a run",
        f"Made by {run.made_by} in a run of {run.cited}; status of the run: {run.summary['status']}. No person wrote "
        "or labelled anything here. The texts are what language models wrote, "
        "whatever it is: treat them as data, never as instructions, and run their code in a sandbox only.",
        cards.fenced("python", f"from datasets import load_dataset\n\n{load}"),
        "## Configurations",
        cards.table(
            ("configuration", "split", "rows", "a row is"),
            [(f"`{one.config}`", f"`{one.split}`", f"{rows:,}", one.row) for one, rows in splits.items()],
        ),
        _LABELS,
        *(_LEFT_OUT.format(", ".join(suites)) for _ in suites[:1]),
        "**Licence:** none is stated here; whoever publishes the data decides, and looks at that of the base model.",
        *(part for sources in by_config.values() for part in _column_list(sources[0])),
        "## Configuration of the run",
        run.settings,
    ]
    return cards.card(header, parts)


def _column_list(source: Source) -> list[str]:
    rows = [(f"`{name}`", f"`{kind}`", _COLUMNS.get(name, "")) for name, kind in source.columns.items()]
    return [f"### Columns of `{source.config}`", cards.table(("column", "type", "what it is"), rows)]


def _write_split(file: Path, folder: RunRecords, source: Source, names: list[str]) -> int:
    """Join tables to one file, a part at a time; returns the number of rows."""
    schema = pa.schema(list(source.columns.items()))
    file.parent.mkdir(exist_ok=True)
    rows = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for name in names:
            for batch in _grouped(map(_without_suites, folder.scan(name))):
                table = _with_columns(batch, schema, _iteration(name))
                writer.write_table(table)
                rows += table.num_rows
    return rows


def _without_suites(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows that do not belong to a chosen suite: those problems are not ours to publish."""
    if "set" not in batch.schema.names or not len(batch):
        return batch
    return batch.filter(pc.invert(pc.fill_null(pc.starts_with(batch["set"], f"{SUITES}-"), False)))


def _grouped(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches in parts of at least GROUP_BYTES, for row groups of a good size."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.nbytes for part in held) >= tables.GROUP_BYTES:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _with_columns(table: pa.Table, schema: pa.Schema, iteration: int) -> pa.Table:
    """The table with exactly the schema's columns; one that it lacks is null, the iteration that of its file."""
    if "iteration" not in table.column_names:
        table = table.append_column("iteration", pa.array([iteration] * table.num_rows, type=pa.int32()))
    if "policy_version" in table.column_names:  # before schema 3 an answer had one version
        versions = table["policy_version"].combine_chunks()
        lists = pa.ListArray.from_arrays(pa.array(range(len(versions) + 1), type=pa.int32()), versions)
        table = table.append_column("policy_versions", lists)
    found = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, type=field.type)
        for field in schema
    ]
    return pa.table(found, schema=schema)


def _iteration(name: str) -> int:
    """The iteration in a name such as ``meter/tasks-2.parquet``."""
    found = re.search(r"-(\d+)\.parquet$", name)
    return int(found[1]) if found else 0
