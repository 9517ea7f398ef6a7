"""Which keys contradict each other: combinations that would be silently meaningless are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from coevolve.config.section import at_iteration

if TYPE_CHECKING:
    from coevolve.config.root import Config


def check(config: Config) -> None:
    """Reject combinations that would be silently meaningless.

    Raises:
        ValueError: says which keys contradict each other.
    """
    _check_sampler(config)
    for t in range(1, config.iterations + 1):
        if at_iteration(config.gate.lower, t) > at_iteration(config.gate.upper, t):
            raise ValueError("gate.lower is above gate.upper: no task could ever be kept")
    if config.proposer.questions % config.proposer.group_size:
        raise ValueError("proposer.questions must be a multiple of proposer.group_size")
    if config.adpo.lower >= config.adpo.upper:
        raise ValueError("adpo.lower must be below adpo.upper")
    if config.proposer.minibatches > config.proposer.questions:
        raise ValueError("proposer.minibatches is larger than proposer.questions")
    if config.reward.malformed < 0 and config.reward.clip_at_zero:
        raise ValueError("reward.malformed is below 0, but reward.clip_at_zero allows no reward below 0")
    if config.pool.stop > 0 and not config.gate.enabled:
        raise ValueError("pool.stop leaves out votes on tasks that miss the gate, but gate.enabled is false")
    _check_method(config)
    _check_world(config)
    _check_sandbox(config)
    if config.engine.device == "cuda" and config.engine.workers > 1:
        raise ValueError("engine.device cuda is used by one process, but engine.workers asks for more")
    if config.solver.minibatches > config.solver.tasks * config.solver.group_size:
        raise ValueError("solver.minibatches is larger than solver.tasks * solver.group_size")


def _check_sampler(config: Config) -> None:
    if config.engine.sampler != "vllm":
        return
    if config.engine.workers > 1:
        raise ValueError("engine.sampler vllm decodes everything in the main process: engine.workers is 0 or 1")
    if config.sampling.temperature > 2:
        raise ValueError("engine.sampler vllm knows no sampling.temperature above 2")


def _check_method(config: Config) -> None:
    """Reject parts that do not belong together: R-Zero with what Agent0 adds would be Agent0 by another name."""
    if config.proposer.tool and not config.tool.enabled:
        raise ValueError("proposer.tool is true, but tool.enabled is false: there is no tool")
    if config.method == "r-zero":
        if config.tool.enabled or config.reward.lambda_tool > 0:
            raise ValueError("R-Zero has no tool: tool.enabled is false and reward.lambda_tool is 0")
        if config.objective != "grpo":
            raise ValueError("the solver of R-Zero learns by plain GRPO: objective is grpo")


def _check_world(config: Config) -> None:
    if config.world == "miniature":
        if config.model.contract != "agent0":
            raise ValueError("model.contract is for world open: the miniature has prompts of its own")
        return
    if config.tool.enabled != (config.model.contract == "agent0"):
        raise ValueError(
            "model.contract agent0 tells the solver of its tool, the others have none: tool.enabled must fit it"
        )


def _check_sandbox(config: Config) -> None:
    box = config.sandbox
    if box.backend == "local":
        if box.url is not None:
            raise ValueError("sandbox.url is given, but sandbox.backend is local")
        if box.dialect != "coevolve":
            raise ValueError("sandbox.dialect is for a server, but sandbox.backend is local")
        return
    if box.url is None:
        raise ValueError("sandbox.backend is remote, but sandbox.url is not given")
    _check_address(box.url)
    if box.environment is not None or box.namespaces != "auto":
        raise ValueError(
            "sandbox.environment and sandbox.namespaces are for the machine that runs snippets: "
            "with sandbox.backend remote, start the server with them"
        )
    if box.dialect == "sandboxfusion":
        if config.tool.state != "stateless":
            raise ValueError("a server with sandbox.dialect sandboxfusion has no sessions: tool.state is stateless")
        if box.preload or box.unsafe:
            raise ValueError(
                "a server with sandbox.dialect sandboxfusion decides itself: no sandbox.preload, no sandbox.unsafe"
            )


def _check_address(url: str) -> None:
    """Refuse what is no plain address. A password in it is not repeated in the message."""
    try:
        parts = urlsplit(url)
        port_is_possible = parts.port is None or parts.port > 0
    except ValueError:  # of the port
        port_is_possible = False
    if "@" in url:
        raise ValueError(
            "the address of the sandbox server holds a user or password: it would be kept in the run folder"
        )
    if (
        not port_is_possible
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
    ):
        raise ValueError("sandbox.url is no address of the form http://HOST:PORT or https://HOST:PORT")
