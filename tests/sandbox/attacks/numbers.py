"""System call numbers of the attacks, mostly of calls that no filter of ours names."""

from __future__ import annotations

import platform

# name:x86-64:aarch64 ("-": the call does not exist there)
_TABLE = """
open:2:- openat:257:56 openat2:437:437 creat:85:- name_to_handle_at:303:264 open_by_handle_at:304:265 truncate:76:45
ftruncate:77:46 fallocate:285:47 mkdir:83:- mkdirat:258:34 mknod:133:- mknodat:259:33 rename:82:- renameat:264:38
renameat2:316:276 link:86:- linkat:265:37 symlink:88:- symlinkat:266:36 unlink:87:- unlinkat:263:35 rmdir:84:-
chmod:90:- fchmod:91:52 fchmodat:268:53 fchmodat2:452:452 chown:92:- fchown:93:55 fchownat:260:54 utimensat:280:88
setxattr:188:5 removexattr:197:14 flock:73:32 memfd_create:319:279 memfd_secret:447:447 splice:275:76
vmsplice:278:75 tee:276:77 sendfile:40:71 copy_file_range:326:285 quotactl:179:60 fork:57:- vfork:58:- clone:56:220
clone3:435:435 execve:59:221 execveat:322:281 kill:62:129 tkill:200:130 tgkill:234:131 rt_sigqueueinfo:129:138
rt_tgsigqueueinfo:297:240 pidfd_open:434:434 pidfd_getfd:438:438 pidfd_send_signal:424:424 ptrace:101:117
process_vm_readv:310:270 process_vm_writev:311:271 process_madvise:440:440 process_mrelease:448:448 kcmp:312:272
migrate_pages:256:238 move_pages:279:239 setsid:112:157 setpgid:109:154 setpriority:141:140
sched_setscheduler:144:119 sched_setparam:142:118 sched_setattr:314:274 sched_setaffinity:203:122 ioprio_set:251:30
prlimit64:302:261 setrlimit:160:164 timer_create:222:107 timerfd_create:283:85 signalfd4:289:74 eventfd2:290:19
set_robust_list:273:99 get_robust_list:274:100 set_tid_address:218:96 rseq:334:293 exit:60:93 futex:202:98
socket:41:198 connect:42:203 bind:49:200 listen:50:201 accept4:288:242 sendmsg:46:211 sendmmsg:307:269
recvmmsg:299:243 setsockopt:54:208 mount:165:40 umount2:166:39 unshare:272:97 setns:308:268 chroot:161:51
pivot_root:155:41 fsopen:430:430 fsconfig:431:431 fsmount:432:432 fspick:433:433 move_mount:429:429
open_tree:428:428 mount_setattr:442:442 statmount:457:457 listmount:458:458 io_uring_setup:425:425
io_uring_enter:426:426 io_uring_register:427:427 bpf:321:280 perf_event_open:298:241 userfaultfd:323:282
keyctl:250:219 add_key:248:217 request_key:249:218 shmget:29:194 shmat:30:196 shmctl:31:195 msgget:68:186
semget:64:190 mq_open:240:180 mq_notify:244:184 setuid:105:146 setgid:106:144 setreuid:113:145 setresuid:117:147
setresgid:119:149 setgroups:116:159 setfsuid:122:151 capset:126:91 personality:135:92 modify_ldt:154:-
reboot:169:142 kexec_load:246:104 kexec_file_load:320:294 init_module:175:105 finit_module:313:273
delete_module:176:106 iopl:172:- ioperm:173:- swapon:167:224 swapoff:168:225 sethostname:170:161
settimeofday:164:170 clock_settime:227:112 adjtimex:159:171 acct:163:89 syslog:103:116 vhangup:153:58
fanotify_init:300:262 fanotify_mark:301:263 inotify_init1:294:26 inotify_add_watch:254:27 seccomp:317:277
landlock_create_ruleset:444:444 landlock_restrict_self:446:446 prctl:157:167 arch_prctl:158:- mlock:149:228
mlockall:151:230 mbind:237:235 set_mempolicy:238:237 remap_file_pages:216:234 pkey_alloc:330:289
map_shadow_stack:453:453 cachestat:451:451 lsm_get_self_attr:459:459 lsm_set_self_attr:460:460 ioctl:16:29
futex_waitv:449:449 futex_wake:454:454 futex_wait:455:455 futex_requeue:456:456 mincore:27:232 madvise:28:233
membarrier:324:283 fadvise64:221:223 readahead:187:213
fcntl:72:25 close_range:436:436 getpid:39:172 socketpair:53:199 pause:34:- nanosleep:35:101
"""
_COLUMN = {"x86_64": 1, "aarch64": 2}[platform.machine()]
NUMBERS = {
    cells[0]: int(cells[_COLUMN]) for cells in (entry.split(":") for entry in _TABLE.split()) if cells[_COLUMN] != "-"
}
