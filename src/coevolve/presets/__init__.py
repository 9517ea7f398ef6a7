"""Presets: one YAML file each, with only what differs from the defaults in :mod:`coevolve.config`."""
