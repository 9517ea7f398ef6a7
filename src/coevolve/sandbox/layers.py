"""The names of the isolation layers, for all code that applies, tests or reports them.

Also imported by the sandbox interpreter: standard library only, and nothing specific to Linux."""

from __future__ import annotations

ON = "on"
MISSING = "missing: "  # a required layer
ABSENT = "not available: "  # an optional one
REQUIRED = ("rlimits", "no_new_privs", "landlock", "privileges", "seccomp")
