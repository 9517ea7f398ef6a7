"""Attacks on the sandbox: what a hostile snippet tries, by number, and how each of them must end."""
