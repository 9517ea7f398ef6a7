"""System call numbers and the constants of the confinement, for x86-64 and aarch64.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name, x86-64 number, aarch64 number ("-": the call does not exist there)
_TABLE = """
read 0 63
write 1 64
open 2 -
close 3 57
stat 4 -
fstat 5 80
lstat 6 -
poll 7 -
lseek 8 62
mmap 9 222
mprotect 10 226
munmap 11 215
brk 12 214
rt_sigaction 13 134
rt_sigprocmask 14 135
rt_sigreturn 15 139
ioctl 16 29
pread64 17 67
pwrite64 18 68
readv 19 65
writev 20 66
access 21 -
pipe 22 -
select 23 -
sched_yield 24 124
mremap 25 216
madvise 28 233
dup 32 23
dup2 33 -
pause 34 -
nanosleep 35 101
getitimer 36 102
alarm 37 -
setitimer 38 103
getpid 39 172
sendto 44 206
recvfrom 45 207
sendmsg 46 211
recvmsg 47 212
shutdown 48 210
getsockname 51 204
getpeername 52 205
socketpair 53 199
getsockopt 55 209
clone 56 220
exit 60 93
wait4 61 260
uname 63 160
fcntl 72 25
getdents 78 -
getcwd 79 17
chdir 80 49
fchdir 81 50
readlink 89 -
gettimeofday 96 169
getrlimit 97 163
getrusage 98 165
sysinfo 99 179
times 100 153
getuid 102 174
getgid 104 176
geteuid 107 175
getegid 108 177
getppid 110 173
getpgrp 111 -
getgroups 115 158
getresuid 118 148
getresgid 120 150
getpgid 121 155
getsid 124 156
rt_sigpending 127 136
rt_sigtimedwait 128 137
rt_sigsuspend 130 133
sigaltstack 131 132
getpriority 140 141
sched_getparam 143 121
sched_getscheduler 145 120
sched_get_priority_max 146 125
sched_get_priority_min 147 126
prctl 157 167
gettid 186 178
time 201 -
futex 202 98
sched_getaffinity 204 123
epoll_create 213 -
getdents64 217 61
set_tid_address 218 96
restart_syscall 219 128
clock_gettime 228 113
clock_getres 229 114
clock_nanosleep 230 115
exit_group 231 94
epoll_wait 232 -
epoll_ctl 233 21
tgkill 234 131
waitid 247 95
openat 257 56
newfstatat 262 79
readlinkat 267 78
faccessat 269 48
pselect6 270 72
ppoll 271 73
set_robust_list 273 99
epoll_pwait 281 22
epoll_create1 291 20
dup3 292 24
pipe2 293 59
preadv 295 69
pwritev 296 70
prlimit64 302 261
getcpu 309 168
seccomp 317 277
getrandom 318 278
membarrier 324 283
statx 332 291
rseq 334 293
pidfd_open 434 434
clone3 435 435
close_range 436 436
faccessat2 439 439
epoll_pwait2 441 441
landlock_create_ruleset 444 444
landlock_add_rule 445 445
landlock_restrict_self 446 446
pivot_root 155 41
capget 125 90
capset 126 91
"""

# Needed only to confine the zygote, before its own filter is in force: never allowed by a filter.
_LANDLOCK = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")
SETUP_ONLY = frozenset((*_LANDLOCK, "pivot_root", "capget", "capset", "clone3"))


def numbers(machine: str) -> dict[str, int]:
    """System call numbers by name for ``platform.machine()`` = "x86_64" or "aarch64".

    Raises:
        KeyError: the machine is neither.
    """
    column = {"x86_64": 1, "aarch64": 2}[machine]
    rows = (line.split() for line in _TABLE.split("\n") if line)
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}
