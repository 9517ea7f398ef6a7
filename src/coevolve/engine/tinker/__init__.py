"""Training and sampling on a server of the Tinker API, which holds the models."""
