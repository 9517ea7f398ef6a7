"""What trackers stored, read without the code that stored it: by TensorBoard, from SQLite, from W&B's own log."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2

# (name, step) -> a number, a text, or the edges of a histogram followed by its counts; no pair may be stored twice.
Stored = dict[tuple[str, int], object]
_BLOCK = 1 << 15


def tensorboard(folder: Path) -> Stored:
    """All scalars, histograms and texts, as TensorBoard shows them."""
    reader = EventAccumulator(str(folder / "tensorboard"), size_guidance=dict.fromkeys(("scalars", "histograms"), 0))
    reader.Reload()
    found: Stored = {}
    for tag in reader.Tags()["scalars"]:
        for event in reader.Scalars(tag):
            _add(found, tag, event.step, event.value)
    for tag in reader.Tags()["histograms"]:
        for event in reader.Histograms(tag):
            value = event.histogram_value
            _add(found, tag, event.step, (value.min, *value.bucket_limit, *value.bucket))
    for tag in reader.Tags()["tensors"]:
        for event in reader.Tensors(tag):
            _add(found, tag.removesuffix("/text_summary"), event.step, event.tensor_proto.string_val[0].decode())
    return {key: value for key, value in found.items() if key[0] != "config"}


def trackio(folder: Path) -> Stored:
    """All rows of the only project's SQLite file."""
    (file,) = (folder / "trackio").glob("*.db")
    found: Stored = {}
    with sqlite3.connect(file) as connection:
        rows = connection.execute("SELECT step, metrics FROM metrics").fetchall()
        runs = connection.execute("SELECT DISTINCT run_id FROM metrics").fetchall()
    assert len(runs) == 1, "one run, whatever number of lives it had"
    for step, metrics in rows:
        for name, value in json.loads(metrics).items():
            _add(found, name, step, _shown(value))
    return found


def wandb(folder: Path) -> Stored:
    """The histories of all offline runs, which must have one id."""
    files = sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len({file.name for file in files}) == 1, "one run, whatever number of lives it had"
    found: Stored = {}
    for file in files:
        for data in _records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                row: dict[str, object] = {}
                for item in record.history.item:
                    name, *inner = [item.key] if item.key else item.nested_key
                    value = json.loads(item.value_json)
                    row[name] = {**row.get(name, {}), inner[0]: value} if inner else value  # type: ignore[dict-item]
                for name, value in row.items():
                    if not name.startswith("_"):
                        _add(found, name, record.history.step.num, _shown(value))
    return found


READERS: dict[str, Callable[[Path], Stored]] = {"tensorboard": tensorboard, "trackio": trackio, "wandb": wandb}


def _add(found: Stored, name: str, step: int, value: object) -> None:
    assert (name, step) not in found, f"{name} was logged twice at step {step}"
    found[name, step] = value


def _shown(value: object) -> object:
    if isinstance(value, dict):
        return (*value["bins"], *value["values"])
    return value


def _records(data: bytes) -> list[bytes]:
    """The records of a LevelDB log after the seven bytes that W&B puts in front."""
    assert data.startswith(b":W&B")
    records, part, at = [], b"", 7
    while at + 7 <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(part)
            part = b""
    return records
