"""The teacher as a method sees it: problems and verdicts, of which each is asked for once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from coevolve.config.teaching import TeacherSection
from coevolve.endpoint.client import Client, Fault, Patience, Request
from coevolve.endpoint.messages import CHAT, base_url, completion
from coevolve.errors import BudgetSpent, ConfigError, TeacherError
from coevolve.teacher.cache import Replies, Reply, digest
from coevolve.teacher.protocol import (
    Ask,
    Posed,
    Refusal,
    Seed,
    Variation,
    Verdict,
    messages,
    read_problem,
    read_verdict,
)
from coevolve.teacher.spending import Budget, Prices, Usage, usage_of

LONGEST_REPLY = 256 << 10  # bytes of a response that are read
KEY_OPTION = "teacher.api_key_env="
_KEPT = "what was answered is kept: coevolve resume goes on from there"
Read = TypeVar("Read")


def key_of(section: TeacherSection) -> str | None:
    """The key of the endpoint, from the environment.

    Raises:
        ConfigError: the variable that is named holds nothing.
    """
    if section.api_key_env is None:
        return None
    key = os.environ.get(section.api_key_env)
    if not key:
        raise ConfigError(
            f"the environment variable {section.api_key_env} holds no key",
            where="teacher.api_key_env",
            fix=f"export {section.api_key_env}=...",
        )
    return key


class Teacher:
    """A frozen model behind a URL. Requests of a call are asked together; those that were asked before are not.

    Args:
        section: who it is, how it is asked and what it may cost.
        url: of its endpoint.
        folder: where its replies are kept.

    Raises:
        ConfigError: the URL is none, or the key is missing.
        RunError: the kept replies are damaged.
    """

    def __init__(self, section: TeacherSection, url: str, folder: Path) -> None:
        patience = Patience(section.concurrency, section.timeout_s, section.retries)
        self._section, self.prices = section, Prices(section.usd_per_million_read, section.usd_per_million_written)
        self._budget = Budget(self.prices, section.budget_usd, section.budget_tokens)
        self._replies = Replies(folder / "replies.jsonl")
        self._client = Client(
            base_url(url), key=key_of(section), patience=patience, key_option=KEY_OPTION, largest=LONGEST_REPLY
        )

    def problems(self, asks: Sequence[Seed | Variation], round: int) -> list[Posed | Refusal]:
        """A problem for each request, or why its reply cannot be used.

        Args:
            asks: what to ask.
            round: under which the cost is counted.

        Raises:
            TeacherError: the endpoint left requests unanswered.
            BudgetSpent: the budget is used up.
            CoevolveError: the endpoint is of no use.
        """
        return [_read(reply, read_problem) for reply in self._ask(asks, round)]

    def verdicts(self, asks: Sequence[Verdict], round: int) -> list[bool | Refusal]:
        """Whether each answer is right, or why the reply says neither. Raises as ``problems`` does."""
        return [_read(reply, read_verdict) for reply in self._ask(asks, round)]

    def spent(self, round: int | None = None) -> Usage:
        """What the requests have cost that were first asked in a round; None: all of this run, in any process."""
        return sum((x.usage for x in self._replies if round is None or x.round == round), Usage())

    def close(self) -> None:
        """End the connections."""
        self._client.close()
        self._replies.close()

    def _ask(self, asks: Sequence[Ask], round: int) -> list[Reply]:
        bodies = {digest(body): body for body in map(self._body, asks)}
        missing = {key: body for key, body in bodies.items() if key not in self._replies}
        faults = []

        def requests() -> Iterator[Request[str]]:
            for key, body in missing.items():
                if self._budget.used_up:
                    return
                yield Request(key, f"request {key[:8]} to the teacher", body)

        def read(message: dict[str, Any], _: float) -> tuple[str, Usage]:
            said = completion(message)
            usage = usage_of(message, 0, said.text)
            self._budget.take(usage)
            return said.text, usage

        if missing:
            for key, reply in self._client.ask(CHAT, requests(), read):
                if not isinstance(reply, Fault):
                    text, usage = reply
                    self._replies.add(Reply(key, round, text, read=usage.read, written=usage.written))
                elif reply.refused:
                    self._replies.add(Reply(key, round, None, reply.reason))
                else:
                    faults.append(reply.reason)
            self._replies.sync()
        self._require(missing, faults)
        return [self._replies[digest(body)] for body in map(self._body, asks)]

    def _require(self, asked: Mapping[str, object], faults: Sequence[str]) -> None:
        """
        Raises:
            TeacherError, BudgetSpent: not everything was answered.
        """
        unanswered = sum(key not in self._replies for key in asked)
        if faults:
            raise TeacherError(
                f"the teacher left {unanswered} of {len(asked)} requests unanswered: {faults[-1]}",
                where=self._client.shown,
                fix=_KEPT,
            )
        if unanswered:
            raise BudgetSpent(
                f"{self._budget.used_up}; {unanswered} requests wait",
                fix="coevolve resume may spend as much again, and pays for nothing twice",
            )

    def _body(self, ask: Ask) -> dict[str, Any]:
        return {
            "model": self._section.model,
            "messages": messages(ask),
            "temperature": 0.0 if isinstance(ask, Verdict) else self._section.temperature,
            "max_tokens": self._section.max_tokens,
            **({} if isinstance(ask, Verdict) else {"seed": ask.number}),
        }


def _read(reply: Reply, read: Callable[[str], Read]) -> Read | Refusal:
    if reply.text is None:
        return Refusal("the endpoint refused the request, or said too much")
    try:
        return read(reply.text)
    except Refusal as refusal:
        return refusal
