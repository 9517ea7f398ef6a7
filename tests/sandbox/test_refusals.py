"""What is refused is refused in one clear line, and what needs no more than threads works."""

from __future__ import annotations

import re
import socket
import subprocess
import sys

import pytest

from coevolve.sandbox.base import Status
from coevolve.sandbox.pool import SandboxPool
from coevolve.sandbox.refusals import FILES, NETWORK, PROCESSES

from .cells import run

_DENIED = "PermissionError: [Errno 1] Operation not permitted"
_REFUSED = {
    "open('notes.txt', 'w')": f"{_DENIED} ({FILES}): 'notes.txt'",
    "open('notes.txt', 'ab')": f"{_DENIED} ({FILES}): 'notes.txt'",
    "open('notes.txt', 'x')": f"{_DENIED} ({FILES}): 'notes.txt'",
    "import pathlib; pathlib.Path('a.csv').write_text('1,2')": f"{_DENIED} ({FILES}): 'a.csv'",
    "import os; os.makedirs('out/plots')": f"{_DENIED} ({FILES}): 'out'",
    "import os; os.remove('notes.txt')": f"{_DENIED} ({FILES}): 'notes.txt'",
    "import json; json.dump({}, open('x.json', 'w'))": f"{_DENIED} ({FILES}): 'x.json'",
    "import logging; logging.basicConfig(filename='x.log')": FILES,
    "import os; os.open('/proc/self/fd/1', os.O_WRONLY)": FILES,
    "import subprocess; subprocess.run(['ls'])": f"{_DENIED} ({PROCESSES}): 'ls'",
    "import subprocess; subprocess.run('ls', shell=True, capture_output=True)": PROCESSES,
    "import subprocess; subprocess.run(['ls'], stderr=subprocess.DEVNULL)": PROCESSES,
    "import os; os.popen('date')": PROCESSES,
    "import os; os.fork()": f"{_DENIED} ({PROCESSES})",
    "import os; os.execv('/bin/ls', ['ls'])": PROCESSES,
    "import multiprocessing; multiprocessing.Process(target=print).start()": PROCESSES,
    "import multiprocessing; multiprocessing.Pool(2)": PROCESSES,
    "from concurrent.futures import ProcessPoolExecutor as P\nwith P(2) as p: print(list(p.map(abs, [1])))": PROCESSES,
    "import asyncio\nasyncio.run(asyncio.create_subprocess_exec('ls'))": PROCESSES,
    "import socket; socket.create_connection(('example.org', 80))": f"({NETWORK}): 'example.org'",
    "import socket; socket.socket()": f"{_DENIED} ({NETWORK})",
    "import urllib.request; urllib.request.urlopen('http://example.org')": NETWORK,
    "import http.server; http.server.HTTPServer(('', 8000), None)": NETWORK,
}


@pytest.mark.parametrize("code", _REFUSED)
def test_what_is_refused_is_said_in_one_line(patient_pool: SandboxPool, code: str) -> None:
    result = patient_pool.run(code)
    assert result.status is Status.ERROR
    lines = result.stderr.splitlines()
    assert _REFUSED[code] in lines[-1]
    assert "sandbox" not in result.stderr, "our own functions are in the traceback"


def test_a_refusal_can_be_caught_as_what_it_is(pool: SandboxPool) -> None:
    code = "import errno\ntry: open('x', 'w')\nexcept PermissionError as e: print(e.errno == errno.EPERM, e.filename)"
    assert pool.run(code).stdout == "True x\n"
    look_up = "import socket\ntry: socket.getaddrinfo('a.org', 80)\nexcept socket.gaierror as e: print(e)"
    assert pool.run(look_up).stdout == (
        f"[Errno {socket.EAI_AGAIN}] Temporary failure in name resolution ({NETWORK}): 'a.org'\n"
    )
    written = pool.run("import os, traceback\ntry: os.fork()\nexcept OSError: traceback.print_exc()").stderr
    assert re.sub(r"line \d+, in refuse", "line N, in refuse", written) == (
        'Traceback (most recent call last):\n  File "<snippet>", line 2, in <module>\n    try: os.fork()\n'
        f'  File "<sandbox>", line N, in refuse\nPermissionError: [Errno 1] Operation not permitted ({PROCESSES})\n'
    )


def test_a_command_that_only_returns_a_number_is_refused_on_stderr(pool: SandboxPool) -> None:
    result = pool.run("import os; print(os.system('pip install numpy'))")
    assert (result.status, result.stdout != "0\n") == (Status.OK, True)
    assert result.stderr == f"os.system: Operation not permitted ({PROCESSES}): 'pip install numpy'\n"


@pytest.mark.parametrize(
    ("code", "stdout"),
    [
        ("open(__import__('os').__file__).read(9)", ""),
        ("print(7, file=open(1, 'w', closefd=False))", "7\n"),
        ("import io; io.StringIO().write('x'); print(io.BytesIO(b'7').read())", "b'7'\n"),
        ("import socket; a, b = socket.socketpair(); a.send(b'7'); print(b.recv(9))", "b'7'\n"),
        ("import sqlite3; print(sqlite3.connect(':memory:').execute('select 7').fetchone())", "(7,)\n"),
        ("import tempfile; f = tempfile.SpooledTemporaryFile(); f.write(b'7'); f.seek(0); print(f.read())", "b'7'\n"),
    ],
)
def test_what_is_allowed_is_not_refused(pool: SandboxPool, code: str, stdout: str) -> None:
    result = pool.run(code)
    assert (result.status, result.stdout, result.stderr) == (Status.OK, stdout, "")


@pytest.mark.parametrize(
    "code",
    [
        "with open(os.devnull, 'w') as null, contextlib.redirect_stdout(null): print('noise')",
        "sys.stdout = open('/dev/null', 'w'); print('noise'); sys.stdout = sys.__stdout__",
        "with open(os.devnull, 'wb') as null: null.write(b'noise' * 9999)",
        "with pathlib.Path(os.devnull).open('a') as null: print('noise', file=null, flush=True)",
        "null = open(os.devnull, 'r+'); null.write('noise'); null.seek(0); assert null.read() == ''",
        "logging.basicConfig(filename=os.devnull, level=0); logging.info('noise')",
    ],
)
def test_nothing_comes_of_what_goes_to_the_null_device(pool: SandboxPool, code: str) -> None:
    result = pool.run(f"import contextlib, logging, os, pathlib, sys\n{code}\nprint('answer')")
    assert (result.status, result.stdout, result.stderr) == (Status.OK, "answer\n", "")


@pytest.mark.parametrize(
    ("code", "stdout"),
    [
        ("with ThreadPool(3) as pool: print(pool.map(abs, [-1, -2]))", "[1, 2]\n"),
        ("with Pool(3) as pool: print(pool.starmap(pow, [(2, 3), (3, 2)]), pool.apply_async(len, ['abc']).get())", ""),
        ("with Pool() as pool: print(sorted(pool.imap_unordered(abs, range(-3, 0), chunksize=2)))", "[1, 2, 3]\n"),
        ("pool = Pool(2); r = [pool.apply_async(f, (n,)) for n in (1, 0)]; pool.close(); pool.join(); r[0].get()", ""),
        ("q = multiprocessing.Queue(); q.put({'a': 1}); print(q.get(timeout=5), q.empty())", "{'a': 1} True\n"),
        ("q = multiprocessing.SimpleQueue(); q.put(7); print(q.get())", "7\n"),
        ("a = multiprocessing.RLock()\nwith a:\n    with a: print('twice')", "twice\n"),
        ("s = multiprocessing.BoundedSemaphore(2); print(s.acquire(), s.acquire(), s.acquire(timeout=0.01))", ""),
        ("e = multiprocessing.Event(); threading.Timer(0.02, e.set).start(); print(e.wait(9))", "True\n"),
        ("s = multiprocessing.BoundedSemaphore(1)\ntry: s.release()\nexcept ValueError as e: print(e)", ""),
        ("a = multiprocessing.Lock(); print(a.acquire(), a.acquire(block=False), a.acquire(timeout=-1))", ""),
        ("a = multiprocessing.RLock()\ntry: a.release()\nexcept AssertionError as e: print(e)", ""),
    ],
)
def test_pools_of_threads_and_locks_work(patient_pool: SandboxPool, code: str, stdout: str) -> None:
    """Those without an expected output are compared with the interpreter that runs the tests."""
    setting = (
        "import multiprocessing, threading\nfrom multiprocessing.dummy import Pool\n"
        "from multiprocessing.pool import ThreadPool\ndef f(n): return 1 / n\n"
    )
    result = patient_pool.run(setting + code)
    assert (result.status, result.stderr) == (Status.OK, "")
    assert result.stdout == (stdout or _here(setting + code))


def _here(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_a_pool_of_threads_lives_from_cell_to_cell(pool: SandboxPool, name: str) -> None:
    cells = ("from multiprocessing.dummy import Pool\npool = Pool(2)", "print(pool.map(abs, [-3]))", "pool.terminate()")
    assert [cell.stdout for cell in run(pool, name, *cells)] == ["", "[3]\n", ""]
