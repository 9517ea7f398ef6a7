"""The Python tool on another machine: a server around the local pool, and the client that speaks to one."""
