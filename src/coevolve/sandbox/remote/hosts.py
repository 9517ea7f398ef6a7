"""One or several servers behind one client: which of them gets a snippet, and what becomes of it when one is lost.

A single server is asked as :class:`Courier` does it. Of several, each snippet goes to the one with the least to do. One
that is full is left alone until it has room; meanwhile the caller waits. One that does not answer is taken out and
asked again after a while, longer each time; what was on its way to it goes to another, if running it twice is
harmless."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from coevolve.errors import SandboxInfraError, SandboxUnavailable
from coevolve.sandbox.base import Limits, ToolResult
from coevolve.sandbox.remote import wire
from coevolve.sandbox.remote.background import Background
from coevolve.sandbox.remote.courier import ATTEMPTS, Courier, SentBack, Undelivered
from coevolve.sandbox.remote.dialects import Dialect, Terms

_HEALTH_S = 10.0
_NETWORK_S = 15.0  # beyond what a snippet may wait and run at the server
_LARGEST_FACTS = 1 << 16
_PROBE, _PROBED = "print(6 * 7)", "42\n"
_PULSE_S, _MISSED = (
    5.0,
    2,
)  # a server is asked whether it lives every so often; so many silences in a row, and it is out
_FIRST_REST_S, _LONGEST_REST_S = 1.0, 60.0  # before one that is out is asked again


class Host:
    """One server, and what is known of it.

    Args:
        courier: the way to it.
        dialect: what it speaks.
        limits: of every snippet.
        terms: what it must offer; None where its dialect has no word for that.
    """

    def __init__(self, courier: Courier, dialect: Dialect, limits: Limits, terms: Terms | None) -> None:
        self.courier = courier
        self._dialect, self._terms = dialect, terms
        self._run_s = limits.longest_wall_s + _NETWORK_S
        self._answer_s = self._run_s  # its queue included, where it tells how long that may take
        self.answers_pulse = terms is not None
        self.workers, self.in_flight = 1, 0
        self.is_in, self.full_until = True, 0.0
        self.silent = asyncio.Event()  # what is in flight is given up

    async def examine(self) -> dict[str, str]:
        """Compare it with what is asked for, and have it run something; returns the layers.

        Raises:
            SandboxInfraError: it does not answer, or refuses to.
            SandboxUnavailable: it differs.
        """
        url = self.courier.url
        layers = {"server": f"{url} (SandboxFusion's /run_code; what confines snippets is unknown)"}
        if self._terms is not None:
            health, self.workers = await self.courier.ask(
                wire.HEALTH,
                lambda body: (wire.health_from_body(body), wire.workers_from_body(body)),
                within_s=_HEALTH_S,
                largest=_LARGEST_FACTS,
            )
            layers = self._terms.agreed(health, url)
            self._answer_s = self._run_s + health.wait_s
        probe = await self.deliver(self._dialect.message(_PROBE), repeatable=True)
        if probe.stdout != _PROBED:
            raise SandboxUnavailable(
                f"The sandbox server ran {_PROBE} to {probe.status}, {probe.stdout[:80]!r}, {probe.stderr[-200:]!r}.",
                where=url,
                fix="see what the server itself says",
            )
        return layers

    async def deliver(self, message: Mapping[str, object], *, repeatable: bool) -> ToolResult:
        """With retries at this very server; see :meth:`Courier.deliver`."""
        dialect = self._dialect
        return await self.courier.deliver(
            dialect.path,
            message,
            dialect.result,
            within_s=self._answer_s,
            largest=dialect.largest,
            repeatable=repeatable,
        )

    async def attempt(self, message: Mapping[str, object]) -> ToolResult:
        """Once; given up as soon as the server counts as silent.

        Raises:
            SentBack: it is full.
            Undelivered: there is no answer, or none that makes sense.
        """
        dialect = self._dialect
        flight = asyncio.ensure_future(
            self.courier.attempt(
                dialect.path, message, dialect.result, within_s=self._answer_s, largest=dialect.largest
            )
        )
        silence = asyncio.ensure_future(self.silent.wait())
        try:
            await asyncio.wait({flight, silence}, return_when=asyncio.FIRST_COMPLETED)
            if not flight.done():
                raise Undelivered("it has fallen silent")
            return flight.result()
        finally:
            flight.cancel()
            silence.cancel()


class Hosts:
    """The servers of one client; everything here runs in its thread.

    Args:
        background: that thread.
        hosts: the servers, at least one.
        requests: snippets that each of them is given at once.
        patience_s: seconds after which a snippet that none has room for counts as lost.
    """

    def __init__(self, background: Background, hosts: Sequence[Host], *, requests: int, patience_s: float) -> None:
        self._background, self._hosts = background, tuple(hosts)
        self._requests, self._patience_s = requests, patience_s
        self._changed = asyncio.Event()
        self.told: list[str] = []

    @property
    def failures(self) -> int:
        """Attempts that came to nothing, of all servers."""
        return sum(host.courier.failures for host in self._hosts)

    def forget_failures(self) -> None:
        """Count anew."""
        for host in self._hosts:
            host.courier.failures = 0

    async def open(self) -> dict[str, str]:
        """Examine all; of several, those that do not answer are asked again later. Returns the layers.

        Raises:
            SandboxInfraError: none answers, or one refuses to.
            SandboxUnavailable: one of them differs from what is asked for.
        """
        found = await asyncio.gather(*(host.examine() for host in self._hosts), return_exceptions=True)
        faults = [error for error in found if isinstance(error, BaseException)]
        grave = [error for error in faults if not _no_answer(error)]
        if grave or len(faults) == len(self._hosts):
            raise (grave or faults)[0]
        layers: dict[str, str] = {}
        servers = []
        for host, outcome in zip(self._hosts, found, strict=True):
            if isinstance(outcome, BaseException):
                servers.append(f"{host.courier.url} (did not answer)")
                self._take_out(host, str(outcome.__cause__))
            else:
                servers.append(outcome["server"])
                layers = layers or outcome
        if len(self._hosts) > 1:
            for host in self._hosts:
                if host.answers_pulse:
                    self._background.keep(self._watch(host))
        return {**layers, "server": ", ".join(servers)}

    async def run(
        self, message: Mapping[str, object], *, repeatable: bool, home: Host | None = None
    ) -> tuple[ToolResult, Host]:
        """Have a snippet run, and say where.

        Args:
            message: asks for it.
            repeatable: whether it may be sent again when its fate is unknown.
            home: the server that its session lives at; None for any.

        Raises:
            SandboxInfraError: it was not run, or nobody knows.
        """
        if len(self._hosts) == 1:
            only = self._hosts[0]
            return await only.deliver(message, repeatable=repeatable), only
        attempts, avoided = 0, set[Host]()
        give_up_at = time.monotonic() + self._patience_s
        while True:
            host = await self._room(give_up_at, avoided, home)
            try:
                return await host.attempt(message), host
            except SentBack as back:
                host.full_until = time.monotonic() + back.after_s
            except Undelivered as fault:
                host.courier.failures += 1
                avoided.add(host)
                attempts += not fault.unsent
                if not fault.answered:
                    self._take_out(host, str(fault))
                if fault.final or home or attempts == ATTEMPTS or not (repeatable or fault.unsent):
                    raise host.courier.lost(str(fault)) from fault
            finally:
                host.in_flight -= 1
                self._tell()

    async def _room(self, give_up_at: float, avoided: set[Host], home: Host | None) -> Host:
        """Wait for a place at a server and take it: at one that has not failed this snippet, if there is one.

        Raises:
            SandboxInfraError: there was none in time, or the session's server is silent.
        """
        while True:
            now = time.monotonic()
            if home and home.silent.is_set():
                raise home.courier.lost("it has fallen silent, and the session is lost with it")
            able = [home] if home else [host for host in self._hosts if host.is_in]
            able = [host for host in able if host.in_flight < self._requests and host.full_until <= now]
            if able:
                chosen = min(able, key=lambda host: (host in avoided, host.in_flight / host.workers))
                chosen.in_flight += 1
                return chosen
            if now >= give_up_at:
                raise SandboxInfraError(
                    f"No sandbox server had room for a snippet within {self._patience_s:g} s (sandbox.patience_s).",
                    where=", ".join(host.courier.url for host in self._hosts),
                    fix="see whether the servers run, then resume; or more --workers there, or more servers",
                )
            ends = [host.full_until for host in self._hosts if host.full_until > now]
            changed = self._changed
            try:
                async with asyncio.timeout(min([give_up_at, *ends]) - now):
                    await changed.wait()
            except TimeoutError:
                continue

    def _tell(self) -> None:
        """Wake all who wait for room."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _take_out(self, host: Host, reason: str) -> None:
        if host.is_in:
            host.is_in = False
            self.told.append(f"sandbox server {host.courier.url} is out: {reason}. The others take over")
            self._background.keep(self._ask_again(host))

    async def _ask_again(self, host: Host) -> None:
        """Until it is as it was at the start."""
        rest_s, differs = _FIRST_REST_S, False
        while True:
            await asyncio.sleep(rest_s)
            rest_s = min(2 * rest_s, _LONGEST_REST_S)
            try:
                await host.examine()
                break
            except SandboxInfraError:
                continue
            except SandboxUnavailable as error:
                if not differs:
                    self.told.append(f"sandbox server {host.courier.url} stays out: {error.what} {error.fix}")
                differs = True
        host.is_in = True
        host.silent.clear()
        self.told.append(f"sandbox server {host.courier.url} is back")
        self._tell()

    async def _watch(self, host: Host) -> None:
        """See whether it lives, so that nobody waits for answers that will never come."""
        missed = 0
        while True:
            await asyncio.sleep(_PULSE_S)
            try:
                await host.courier.ask(wire.HEALTH, lambda body: None, within_s=_HEALTH_S, largest=_LARGEST_FACTS)
                missed = 0
            except SandboxInfraError as error:
                missed += 1
                if missed == _MISSED:
                    self._take_out(host, str(error.__cause__))
                    host.silent.set()
                    self._tell()


def _no_answer(error: BaseException) -> bool:
    """Whether a server said nothing at all; anything else that it says is a reason not to begin."""
    cause = error.__cause__
    return isinstance(error, SandboxInfraError) and isinstance(cause, Undelivered) and not cause.answered
