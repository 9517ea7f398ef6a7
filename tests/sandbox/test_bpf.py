"""The filters of both machines, judged by an interpreter of their instructions.

The kernel judges the filter of the machine the tests run on; the other machine's is judged here only.
"""

from __future__ import annotations

import struct

import pytest

from coevolve.sandbox.bpf import base_filter, child_filter
from coevolve.sandbox.syscalls import AUDIT_ARCH, numbers

ALLOW, EPERM, EAGAIN, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x0005000B, 0x00050026, 0x80000000
NOTHING_DONE = 0x00050000  # the call returns 0
MACHINES = ("x86_64", "aarch64")
CHILD_PID = 4321


def _decide(program: bytes, arch: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """Classic BPF over ``struct seccomp_data``: the loads, jumps and returns of seccomp programs."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *arguments, *(0,) * (6 - len(arguments)))
    counter = accumulator = 0
    while True:
        code, if_true, if_false, operand = struct.unpack_from("<HBBI", program, counter * 8)
        counter += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x15:
            counter += if_true if accumulator == operand else if_false
        elif code == 0x35:
            counter += if_true if accumulator >= operand else if_false
        else:
            assert code == 0x06
            return int(operand)


def _base(machine: str, name: str, *arguments: int) -> int:
    return _decide(base_filter(machine), AUDIT_ARCH[machine], numbers(machine)[name], arguments)


def _child(machine: str, name: str, *arguments: int) -> int:
    program, pid_at = child_filter(machine)
    patched = bytearray(program)
    struct.pack_into("<I", patched, pid_at, CHILD_PID)
    return _decide(bytes(patched), AUDIT_ARCH[machine], numbers(machine)[name], arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_outside_the_list_are_refused(machine: str) -> None:
    allowed = set(numbers(machine).values())
    program = base_filter(machine)
    for number in (*(set(range(600)) - allowed), 2**30 - 1):
        assert _decide(program, AUDIT_ARCH[machine], number) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_everyday_calls_are_allowed_by_both_filters(machine: str) -> None:
    for name in ("read", "write", "mmap", "exit_group", "clock_gettime", "getrandom", "recvmsg"):
        assert _base(machine, name) == _child(machine, name) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_other_architectures_end_the_process(machine: str) -> None:
    (other,) = set(MACHINES) - {machine}
    for arch in (AUDIT_ARCH[other], 0x40000003, 0):
        assert _decide(base_filter(machine), arch, numbers(machine)["read"]) == KILL
    if machine == "x86_64":
        assert _decide(base_filter(machine), AUDIT_ARCH[machine], 0x40000000) == KILL
        assert _decide(base_filter(machine), AUDIT_ARCH[machine], -1) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_files_open_for_reading_only(machine: str) -> None:
    for flags, verdict in (
        (0, ALLOW),
        (0o2000000, ALLOW),
        (1, EPERM),
        (2, EPERM),
        (3, EPERM),
        (0o100, EPERM),
    ):
        assert _base(machine, "openat", 0, 0, flags) == verdict
    for flags in (
        0o1000,
        0o20200000,
        0o20040000,
        0o2000001,
    ):  # O_TRUNC, O_TMPFILE of both, O_WRONLY | O_CLOEXEC
        assert _base(machine, "openat", 0, 0, flags) == EPERM
    if machine == "x86_64":
        assert _base(machine, "open", 0, 0) == ALLOW
        assert _base(machine, "open", 0, 0o101) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_a_child_makes_threads_and_no_processes(machine: str) -> None:
    thread, fork = 0x3D0F00, 0x01200011
    assert _base(machine, "clone", thread) == _child(machine, "clone", thread) == ALLOW
    assert _base(machine, "clone", fork) == ALLOW  # the zygote's
    assert _child(machine, "clone", fork) == _child(machine, "clone", 0x4111) == EPERM  # fork, vfork
    assert _child(machine, "clone", 0x10000) == _child(machine, "clone", 0x100) == EPERM
    for shared in (0x100, 0x200, 0x400, 0x800, 0x10000):  # a thread that keeps something to itself
        assert _child(machine, "clone", thread & ~shared) == EPERM
    for namespace in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x80):
        assert _base(machine, "clone", thread | namespace) == EPERM
    assert _base(machine, "clone3") == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_a_child_signals_itself_only(machine: str) -> None:
    assert _child(machine, "tgkill", CHILD_PID, CHILD_PID, 9) == ALLOW
    for pid in (CHILD_PID - 1, 1, 0, 2**32 - 1):
        assert _child(machine, "tgkill", pid, pid, 9) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_a_child_changes_no_limits_and_no_filters(machine: str) -> None:
    assert _child(machine, "prlimit64", 0, 7, 0, 1234) == ALLOW
    assert _child(machine, "prlimit64", 0, 7, 1234) == EPERM
    assert _child(machine, "prlimit64", 0, 7, 1234 << 32) == EPERM
    assert _base(machine, "prlimit64", 1, 7, 0) == EPERM
    assert _child(machine, "seccomp", 1) == _child(machine, "pidfd_open", 1) == EPERM
    assert _child(machine, "prctl", 15) == ALLOW
    assert _child(machine, "prctl", 1) == _base(machine, "prctl", 4) == _base(machine, "prctl", 22) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_are_pairs_of_one_process_only(machine: str) -> None:
    cloexec, nonblock = 0o2000000, 0o4000
    assert _base(machine, "socketpair", 1, 1 | cloexec | nonblock) == ALLOW
    for kind in (2, 3, 5, 2 | cloexec):
        assert _base(machine, "socketpair", 1, kind) == EPERM
    for family in (2, 10, 16, 40):
        assert _base(machine, "socketpair", family, 1) == EPERM
    assert "socket" not in numbers(machine)


@pytest.mark.parametrize("machine", MACHINES)
def test_descriptor_controls_are_the_harmless_ones(machine: str) -> None:
    for command, verdict in ((1, ALLOW), (4, ALLOW), (1030, ALLOW), (8, EPERM), (1031, EPERM), (1024, EPERM)):
        assert _base(machine, "fcntl", 0, command) == verdict
    for request, verdict in (
        (0x5401, ALLOW),
        (0x5412, EPERM),
        (0x541C, EPERM),
        (0x5452, EPERM),
    ):  # TIOCSTI ...
        assert _base(machine, "ioctl", 0, request) == verdict


@pytest.mark.parametrize("machine", MACHINES)
def test_a_child_passes_no_descriptors_and_no_urgent_bytes(machine: str) -> None:
    assert _base(machine, "sendmsg") == ALLOW  # the zygote's
    assert _child(machine, "sendmsg") == EPERM
    for name, flags in (("sendto", 3), ("recvfrom", 3), ("recvmsg", 2)):
        arguments = [0] * 6
        assert _base(machine, name, *arguments) == ALLOW
        arguments[flags] = 0x41  # MSG_OOB | MSG_DONTWAIT
        assert _base(machine, name, *arguments) == EPERM
    assert _base(machine, "close_range", 3, 9, 0) == ALLOW
    assert _base(machine, "close_range", 3, 9, 2) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_waiting_and_waking_stay_within_a_process(machine: str) -> None:
    wait, wake, requeue, compare_and_requeue, wake_op, wait_bits, wake_bits = 0, 1, 3, 4, 5, 9, 10
    private, realtime = 128, 256
    for operation in (wait, wake, requeue, compare_and_requeue, wake_op, wait_bits, wake_bits):
        assert _base(machine, "futex", 0, operation | private) == ALLOW
        assert _base(machine, "futex", 0, operation | private | realtime) == ALLOW
    for operation in (wait, wait_bits, wait | realtime, wait_bits | realtime):
        assert _base(machine, "futex", 0, operation) == EAGAIN
    for operation in (wake, wake_bits):
        assert _base(machine, "futex", 0, operation) == NOTHING_DONE
    for operation in (requeue, compare_and_requeue, wake_op, 2, 6, 7, 8, 11, 12, 13, 6 | private, 12 | private, 512):
        assert _base(machine, "futex", 0, operation) == EPERM
    assert not {"futex_waitv", "futex_wake", "futex_wait", "futex_requeue"} & numbers(machine).keys()


@pytest.mark.parametrize("machine", MACHINES)
def test_a_child_asks_about_itself_only(machine: str) -> None:
    for name, refusal in (
        ("getpgid", EPERM),
        ("getsid", EPERM),
        ("sched_getparam", EPERM),
        ("sched_getscheduler", EPERM),
        ("sched_getaffinity", ENOSYS),
    ):
        assert _child(machine, name, 0) == _child(machine, name, CHILD_PID) == ALLOW
        for pid in (1, CHILD_PID + 1, 2**32 - 1):
            assert _child(machine, name, pid) == refusal
    assert _child(machine, "getpriority", 0, 0) == ALLOW
    assert _child(machine, "getpriority", 0, CHILD_PID - 1) == _child(machine, "getpriority", 2, 1) == EPERM
    for name in ("clock_gettime", "clock_getres", "clock_nanosleep"):
        assert _base(machine, name, 0) == _base(machine, name, 11) == ALLOW
        assert _base(machine, name, (~1 << 3 | 2) % 2**32) == _base(machine, name, -3 % 2**64) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_advice_about_memory_is_what_others_do_not_notice(machine: str) -> None:
    for advice, verdict in ((4, ALLOW), (8, ALLOW), (14, ALLOW), (12, EPERM), (20, EPERM), (21, EPERM), (100, EPERM)):
        assert _base(machine, "madvise", 0, 4096, advice) == verdict
    for command, verdict in ((0, ALLOW), (8, ALLOW), (1, EPERM), (2, EPERM), (4, EPERM)):
        assert _base(machine, "membarrier", command) == verdict
    assert "mincore" not in numbers(machine)
