"""A frozen model that is asked over HTTP: what it is asked, how its replies are read, kept and paid for."""
