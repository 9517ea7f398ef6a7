"""The words for the layers that confine a snippet, for all who make, test or report them.

Also imported by the sandbox interpreter: standard library only, and nothing that only Linux has.
"""

from __future__ import annotations

ON = "on"
MISSING = "missing: "  # a required layer
ABSENT = "not available: "  # an optional one
REQUIRED = ("rlimits", "no_new_privs", "landlock", "privileges", "seccomp")
