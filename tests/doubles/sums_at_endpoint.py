"""Questions for a scripted endpoint, a script that answers them, and what comes back of them."""

import re
from collections.abc import Sequence

from scripted_endpoint import Act, Asked, Says, Script, ScriptedEndpoint

from coevolve.endpoint.client import Patience
from coevolve.harness.endpoint import Asking, EndpointTarget
from coevolve.harness.target import Place, Reply
from coevolve.suites.base import task_of
from coevolve.worlds.base import Problem

FOREVER_S = 300.0
PROBLEMS = [Problem(task_of("sums", str(i), f"What is {i} + 1?"), str(i + 1)) for i in range(20)]
GREEDY = [Place(i, -1) for i in range(len(PROBLEMS))]


def right(asked: Asked) -> Says:
    (number,) = re.findall(r"What is (\d+) \+ 1", asked.question)
    return Says(f"So it is \\boxed{{{int(number) + 1}}}.")


def target_of(server: ScriptedEndpoint, asking: Asking | None = None, **patience: float) -> EndpointTarget:
    how = {"timeout_s": FOREVER_S, "concurrency": 4, "retries": 2} | patience
    return EndpointTarget(server.url, asking=asking or Asking(), patience=Patience(**how))


def ask(
    script: Script, places: Sequence[Place] = GREEDY, *, asking: Asking | None = None, seed: int = 0, **patience: float
) -> tuple[dict[Place, Reply], ScriptedEndpoint]:
    """All answers of a server, which is closed again."""
    with ScriptedEndpoint(script) as server:
        target = target_of(server, asking, **patience)
        try:
            got = list(target.answer(PROBLEMS, places, seed))
        finally:
            target.close()
    assert len(dict(got)) == len(got)
    return dict(got), server


def failing(tries: int, fault: Act) -> Script:
    """The first so many requests for each answer fail."""
    return lambda asked: fault if asked.tries < tries else right(asked)
