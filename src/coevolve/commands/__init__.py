"""What the commands print: plans, key listings, results."""
