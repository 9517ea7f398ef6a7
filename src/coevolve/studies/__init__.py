"""Studies that ship with the package: each a YAML file with the rows of one table."""
