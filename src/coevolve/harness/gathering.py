"""Coroutines that ask a target for one answer each, played together in batches."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import anyio  # httpx brings it
import anyio.to_thread

from coevolve.harness.target import Place, Reply, Target
from coevolve.worlds.base import Problem

_PAUSE_S = 0.02  # in which others that begin at the same time arrive


@dataclass(slots=True, eq=False)
class _Waiting:
    problem: Problem
    sample: int
    reply: Reply | None = None
    fault: Exception | None = None

    @property
    def over(self) -> bool:
        return self.reply is not None or self.fault is not None


class Gathering:
    """Whoever finds the target free plays all that wait; the others gather until that batch has ended.

    Args:
        target: who answers. Several gatherings may share it.
        free: held while the target answers.
        seed: of all answers.
    """

    def __init__(self, target: Target, free: threading.Lock, seed: int) -> None:
        self.target = target
        self._free, self._seed = free, seed
        self._waiting: list[_Waiting] = []
        self._turn = anyio.Lock()

    async def answer(self, problem: Problem, sample: int) -> Reply:
        """One answer to a problem, which its task's id tells from all others.

        Args:
            problem: what is asked.
            sample: 0, 1, ...; of the greedy answer -1. No two that wait at the same time ask for the same one.

        Raises:
            CoevolveError: the target cannot answer it.
        """
        mine = _Waiting(problem, sample)
        self._waiting.append(mine)
        try:
            async with self._turn:
                if not mine.over:
                    batch = await self._batch()
                    await anyio.to_thread.run_sync(self._play, batch)
        finally:
            if mine in self._waiting:  # cancelled before its turn
                self._waiting.remove(mine)
        if mine.fault is not None:
            raise mine.fault
        assert mine.reply is not None
        return mine.reply

    async def _batch(self) -> list[_Waiting]:
        """All that wait, as soon as no more arrive."""
        known = 0
        while len(self._waiting) > known:
            known = len(self._waiting)
            await anyio.sleep(_PAUSE_S)
        batch, self._waiting = self._waiting, []
        return batch

    def _play(self, batch: Sequence[_Waiting]) -> None:
        """Fill in every reply, or the fault that ended the batch."""
        problems = list({waiting.problem.task.id: waiting.problem for waiting in batch}.values())
        number = {problem.task.id: index for index, problem in enumerate(problems)}
        at = {Place(number[waiting.problem.task.id], waiting.sample): waiting for waiting in batch}
        try:
            with self._free:
                for place, reply in self.target.answer(problems, list(at), self._seed):
                    at[place].reply = reply
        except Exception as fault:  # of any kind: all of the batch wait for it, not only the one that plays
            for waiting in batch:
                waiting.fault = None if waiting.over else fault
