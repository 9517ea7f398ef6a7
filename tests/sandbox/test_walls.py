"""What a hostile snippet tries, and is refused."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from coevolve.sandbox import pool as pool_module
from coevolve.sandbox.base import Status
from coevolve.sandbox.pool import SandboxPool

HERE = Path(__file__)
SOURCE = Path(pool_module.__file__)
TEST = "PID_OF_THE_TEST"  # stands for it in the names of tests, which are the same in every process


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd')",
        "open('/etc/hostname')",
        f"open({str(HERE)!r})",
        f"open({str(SOURCE)!r})",
        f"import os; os.listdir({str(SOURCE.parent)!r})",
        f"open({str(Path(sys.prefix) / 'pyvenv.cfg')!r})",
        f"import os; os.listdir({str(Path(pytest.__file__).parent)!r})",
        "import os; os.listdir('/')",
        "import os; os.listdir('/proc/self/fd')",
        "open('/proc/self/environ', 'rb')",
        "open('/proc/self/cmdline', 'rb')",
        "open('/proc/self/mem', 'r+b')",
        "import os; open(f'/proc/{os.getppid()}/environ', 'rb')",
        "import os; open(f'/proc/{os.getppid()}/mem', 'rb')",
        "import os; os.listdir(f'/proc/{os.getppid()}/cwd/')",
        f"import os; open('/proc/{TEST}/environ', 'rb')",
        "open('/dev/shm/x', 'w')",
        "open('x', 'w')",
        "open('/tmp/x', 'w')",
        "import os; os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)",
        "import os; os.open('/tmp', os.O_TMPFILE | os.O_RDWR)",
        "import os; os.mkdir('/tmp/x')",
        "import os; os.unlink(os.__file__)",
        "import os; os.rename(os.__file__, '/tmp/x')",
        "import os; os.symlink('/etc/passwd', '/tmp/x')",
        "import os; os.mkfifo('/tmp/x')",
        "import os; os.chmod(os.__file__, 0o777)",
        "import os; os.utime(os.__file__)",
        "import os; os.truncate(os.__file__, 0)",
        "import os; os.setxattr(os.__file__, 'user.x', b'')",
        "import fcntl, os; fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX)",
        "import fcntl; fcntl.fcntl(1, 1031, 1 << 20)",
        "import fcntl, os; fcntl.fcntl(1, fcntl.F_SETOWN, os.getppid())",
        "import os; os.fork()",
        "import os; os.forkpty()",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
        "import os; os.execv('/bin/true', ['true'])",
        "import subprocess; subprocess.run(['true'])",
        "import multiprocessing; multiprocessing.get_context('fork').Process(target=print).start()",
        "import socket; socket.socket()",
        "import socket; socket.socket(socket.AF_UNIX)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "import socket; socket.create_connection(('127.0.0.1', 80))",
        "import socket; socket.socketpair(socket.AF_INET)",
        "import socket; socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "import socket; socket.socketpair()[0].connect('/dev/log')",
        "import urllib.request; urllib.request.urlopen('http://169.254.169.254/')",
        "import os; os.kill(os.getppid(), 9)",
        "import os; os.kill(-1, 9)",
        "import os; os.killpg(0, 9)",
        f"import os; os.kill({TEST}, 0)",
        "import os, signal; os.pidfd_open(os.getppid())",
        "import os; os.setsid()",
        "import os; os.nice(-5)",
        "import os; os.nice(5)",
        "import os; os.sched_setaffinity(0, {0})",
        "import os; os.setuid(0)",
        "import os; os.chroot('/')",
        "import os; os.memfd_create('x')",
        "import resource, os; resource.prlimit(os.getppid(), resource.RLIMIT_CPU)",
    ],
)
def test_an_attack_is_an_error_that_python_can_name(pool: SandboxPool, code: str) -> None:
    result = pool.run(code.replace(TEST, str(os.getpid())))
    assert result.status is Status.ERROR
    said = ("Permission denied", "not permitted", "No such file")  # the last in namespaces, where it does not exist
    assert any(words in result.stderr for words in said), result.stderr


# x86-64 and aarch64 numbers of calls that must fail whatever their arguments (here: all zero)
RAW = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "setuid": (105, 146),
    "setresuid": (117, 147),
    "capset": (126, 91),
    "personality": (135, 92),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "open_by_handle_at": (304, 265),
    "openat2": (437, 437),
    "fanotify_init": (300, 262),
    "inotify_init1": (294, 26),
    "sched_setscheduler": (144, 119),
    "setpriority": (141, 140),
    "seccomp": (317, 277),
    "landlock_restrict_self": (446, 446),
    "syslog": (103, 116),
    "clone": (56, 220),
    "mknodat": (259, 33),
    "linkat": (265, 37),
    "fchmodat": (268, 53),
    "unlinkat": (263, 35),
    "ftruncate": (77, 46),
    "vmsplice": (278, 75),
    "move_pages": (279, 239),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
}


def test_raw_system_calls_are_not_permitted(pool: SandboxPool) -> None:
    column = ("x86_64", "aarch64").index(platform.machine())
    numbers = {name: pair[column] for name, pair in RAW.items()}
    code = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for name, number in {numbers!r}.items():
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 6)
    if result != -1 or ctypes.get_errno() != 1:
        print(name, result, ctypes.get_errno())
print(libc.syscall(ctypes.c_long(435), 0, 0), ctypes.get_errno())  # clone3
"""
    assert pool.run(code).stdout == "-1 38\n"


def test_the_calls_of_other_architectures_end_the_process(pool: SandboxPool) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("x32 and int 0x80 exist on x86-64 only")
    x32_getpid = "import ctypes; ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39))"
    assert pool.run(x32_getpid).signal == 31
    int80 = (
        "import ctypes, mmap\n"
        "m = mmap.mmap(-1, 4096, prot=7)\n"
        "m.write(bytes.fromhex('b814000000cd80c3'))\n"  # mov eax, 20 (getpid); int 0x80; ret
        "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()\n"
    )
    assert pool.run(int80).status is Status.KILLED


def test_prctl_cannot_undo_what_was_done(pool: SandboxPool) -> None:
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for option, value in ((1, 0), (4, 1), (22, 0), (24, 0), (8, 1), (0x59616D61, -1)):
    print(libc.prctl(option, value, 0, 0, 0), end=' ')
"""
    assert pool.run(code).stdout == "-1 " * 6


def test_the_environment_is_empty_and_no_descriptor_is_inherited(pool: SandboxPool) -> None:
    os.environ["COEVOLVE_TEST_SECRET"] = "hunter2"
    with SandboxPool() as fresh:
        code = """
import ctypes, gc, os
print(dict(os.environ), ctypes.CDLL(None).getenv(b'COEVOLVE_TEST_SECRET'))
def is_open(descriptor):
    try: return bool(os.fstat(descriptor))
    except OSError: return False
print([d for d in range(4096) if is_open(d)])
print(any('hunter' + '2' in repr(o) for o in gc.get_objects() if isinstance(o, (str, dict))))
"""
        assert fresh.run(code).stdout == "{} 0\n[0, 1, 2]\nFalse\n"
    del os.environ["COEVOLVE_TEST_SECRET"]


def test_no_limit_can_be_changed_and_no_temporary_file_made(pool: SandboxPool) -> None:
    change = "import resource\nfor kind in range(16):\n    now = resource.getrlimit(kind)\n"
    for new in ("now", "(0, 0)", "(2**40, 2**40)"):
        assert pool.run(f"{change}    resource.setrlimit(kind, {new})").status is Status.ERROR
    assert "No usable temporary directory" in pool.run("import tempfile; tempfile.TemporaryFile()").stderr


def test_no_snippet_runs_as_root(pool: SandboxPool) -> None:
    assert pool.run("import os; print(0 in os.getresuid() + os.getresgid(), os.getgroups())").stdout.startswith("False")


def test_closing_or_replacing_everything_is_survived(pool: SandboxPool) -> None:
    assert pool.run("import os; os.closerange(0, 100); print(1)").status is Status.ERROR
    assert pool.run("import sys; sys.stdout.close(); print(1)").status is Status.ERROR
    assert pool.run("import sys; sys.excepthook = sys.stderr = None; 1/0").stderr.endswith("by zero\n")
    assert pool.run("import sys; sys.settrace(lambda *a: 1/0)\ndef f(): pass\nf()").status is Status.ERROR


def test_input_is_not_a_way_out(pool: SandboxPool) -> None:
    assert "Bad file descriptor" in pool.run("import os; os.write(0, b'x')").stderr


def test_reading_ones_own_output_back_hides_it_and_nothing_else() -> None:
    code = "import os; print('x'); os.read(os.open('/proc/self/fd/1', os.O_RDONLY), 100); os._exit(3)"
    with SandboxPool(namespaces=False) as pool:  # in namespaces there is no /proc
        result = pool.run(code)
        assert (result.status, result.exit_code, result.stdout) == (Status.ERROR, 3, "")
        assert pool.stats.infra_failures == 0


def test_flags_on_a_descriptor_do_not_reach_the_next_snippet(pool: SandboxPool) -> None:
    for descriptor in (0, 1, 2):
        flags = f"import fcntl; print(fcntl.fcntl({descriptor}, fcntl.F_GETFL))"
        before = pool.run(flags).stdout
        pool.run(f"import fcntl; fcntl.fcntl({descriptor}, fcntl.F_SETFL, 0o6000)")
        assert pool.run(flags).stdout == before


def test_descriptors_under_way_do_not_block_the_zygote() -> None:
    """The kernel counts them per user, and refuses more to everybody."""
    hoard = """
import array, socket, time
a, b = socket.socketpair()
try:
    for _ in range(50): a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [1] * 200))])
except OSError as error: print(error.errno, flush=True)
time.sleep(0.5)
"""
    with SandboxPool(workers=2) as pool:
        hoarder = pool.submit(hoard)
        assert [pool.run("print(6*7)").stdout for _ in range(8)] == ["42\n"] * 8
        assert hoarder.result(20).stdout == "1\n"
        assert pool.stats.infra_failures == 0
