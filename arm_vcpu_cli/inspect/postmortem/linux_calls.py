"""System calls of Linux that a program makes early, by number (include/uapi/asm-generic/unistd.h)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LINUX_CALLS: Final[Mapping[int, str]] = MappingProxyType(
    {
        29: "ioctl", 48: "faccessat", 56: "openat", 57: "close", 62: "lseek", 63: "read", 64: "write", 66: "writev",
        78: "readlinkat", 79: "newfstatat", 80: "fstat", 93: "exit", 94: "exit_group", 96: "set_tid_address",
        98: "futex", 99: "set_robust_list", 113: "clock_gettime", 115: "clock_nanosleep", 122: "sched_setaffinity",
        123: "sched_getaffinity", 131: "tgkill", 132: "sigaltstack", 134: "rt_sigaction", 135: "rt_sigprocmask",
        160: "uname", 167: "prctl", 172: "getpid", 174: "getuid", 175: "geteuid", 178: "gettid", 214: "brk",
        215: "munmap", 220: "clone", 222: "mmap", 226: "mprotect", 233: "madvise", 261: "prlimit64",
        278: "getrandom", 293: "rseq",
    }
)  # fmt: skip
