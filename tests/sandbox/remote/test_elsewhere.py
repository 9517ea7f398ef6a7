"""What a machine without Linux's walls can do: use a server, and be told why it needs one."""

from __future__ import annotations

import subprocess
import sys

from .conftest import TOKEN, Server

_SOMEWHERE_ELSE = """
import ctypes, os, resource, select, signal, sys
import aiohttp, pydantic.main  # as they are; the rest sees another system
sys.platform = "darwin"
class Library:
    def __init__(self, *arguments, **more): ...
ctypes.CDLL = ctypes.PyDLL = Library  # knows none of Linux's calls
for module, name in (
    (os, "pidfd_open"), (os, "P_PIDFD"), (os, "memfd_create"), (os, "sched_getaffinity"), (os, "eventfd"),
    (os, "unshare"), (os, "setns"), (os, "pipe2"), (signal, "pidfd_send_signal"), (select, "epoll"),
    (resource, "prlimit"),
):
    if hasattr(module, name):
        delattr(module, name)
from coevolve.config import SandboxSection
from coevolve.errors import SandboxUnavailable
from coevolve.sandbox.factory import open_tool
"""


def elsewhere(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", _SOMEWHERE_ELSE + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_server_can_be_used_from_other_systems(server: Server) -> None:
    code = f"""
os.environ["COEVOLVE_SANDBOX_TOKEN"] = {TOKEN!r}
section = SandboxSection(
    backend="remote", url={server.url!r}, cpu_s=0.3, wall_s=20.0, memory_mb=128, output_bytes=20000
)
tool = open_tool(section, cache=0, sessions=1)
print(tool.run("x = 42", "s").status, tool.run("print(x)", "s").stdout)
tool.close()
"""
    assert elsewhere(code) == "ok 42\n\n"


def test_without_a_server_the_refusal_says_what_to_do() -> None:
    code = """
try:
    open_tool(SandboxSection(), cache=0, sessions=0)
except SandboxUnavailable as error:
    print(error)
"""
    assert "sandbox.backend=remote" in elsewhere(code)


def test_without_the_extra_package_both_sides_say_how_to_install_it() -> None:
    code = """
import sys
sys.modules["aiohttp"] = None
from coevolve.cli import main
main()
"""
    for arguments in (
        ["sandbox", "serve", "--port", "0"],
        ["sandbox", "check", "--set", "sandbox.backend=remote", "--set", "sandbox.url=http://127.0.0.1:9"],
    ):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        assert done.returncode == 1
        assert "fix: pip install 'coevolve[remote]'" in done.stderr
        assert "Traceback" not in done.stderr
