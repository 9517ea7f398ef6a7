"""Where processes are scarce, a snippet that takes all it can get harms nobody but itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_POOL = """
import os, resource, sys, threading, time
from coevolve.sandbox.base import Limits
from coevolve.sandbox.pool import SandboxPool
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
limits = Limits(cpu_s=9, wall_s=30)
"""
_BOMB = """
bomb = '''
import threading, time
threading.stack_size(1 << 16)
end = time.monotonic() + 1.5
while time.monotonic() < end:
    try: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
    except RuntimeError: time.sleep(0.0001)
print(threading.active_count() > 50)
'''
with SandboxPool(workers=2, namespaces=False, limits=limits) as pool:
    bomber = pool.submit(bomb)
    pool.run("kept = 42", session="s")
    time.sleep(0.5)
    print(*(pool.run("print(6*7)").stdout for _ in range(6)), pool.run("print(kept)", session="s").stdout)
    print(bomber.result().stdout, pool.stats.infra_failures)
"""
_VICTIM = """
victim = '''
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool: print(sum(pool.map(abs, [-1, -2, -3])))
'''
with SandboxPool(workers=2, cache_size=9, namespaces=False, limits=limits) as pool:
    bomber = pool.submit(bomb)
    time.sleep(0.5)
    print(pool.run(victim).stdout, bomber.result().status, pool.run(victim).stdout)
"""
# Another process of the snippets' user, which the limit does not bind, has more than all of them until it is told to go
_GREEDY = """
import os, sys, threading, time
begin, full, go = os.pipe(), os.pipe(), os.pipe()
if os.fork() == 0:
    if os.geteuid() == 0:
        os.setresuid(65534, 65534, 65534)
    os.read(begin[0], 1)
    threading.stack_size(1 << 16)
    for _ in range(2 * int(sys.argv[2])):
        threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
    os.write(full[1], b"!")
    os.read(go[0], 1)
    os._exit(0)
"""
_REFUSED = """
with SandboxPool(namespaces=False, limits=limits) as pool:
    zygote = pool._supervisor.zygote_pid
    os.write(begin[1], b"!")
    os.read(full[0], 1)
    futures = [pool.submit(f"print({turn})") for turn in range(9)]
    futures[0].result()
    time.sleep(0.5)
    print(futures[8].done())
    os.write(go[1], b"!")
    print(*(future.result().stdout for future in futures))
    print(pool._supervisor.zygote_pid == zygote, pool.stats.infra_failures)
os.wait()
"""


def _tasks(user: int) -> int:
    """Processes and threads of a user, as the kernel counts them."""
    number = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            number += len(os.listdir(entry / "task")) if entry.stat().st_uid == user else 0
        except OSError:  # it has ended
            continue
    return number


def _said(script: str, spare: int) -> list[str]:
    """What a script prints, by word, with so many processes more than the snippets' user has now."""
    most = _tasks(os.geteuid() or 65534) + spare
    command = [sys.executable, "-c", script, str(most), str(spare)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_snippet_that_takes_all_threads_of_its_user_leaves_some_for_the_zygote() -> None:
    assert _said(_POOL + _BOMB, 200) == [*["42"] * 7, "True", "0"]


def test_a_snippet_waits_for_its_threads_while_another_one_has_them_all() -> None:
    bomb = _BOMB.partition("with SandboxPool")[0]
    assert _said(_POOL + bomb + _VICTIM, 200) == ["6", "ok", "6"]


def test_a_zygote_that_gets_no_process_waits_for_one() -> None:
    assert _said(_GREEDY + _POOL + _REFUSED, 200) == ["False", *map(str, range(9)), "True", "0"]
