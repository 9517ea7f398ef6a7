"""What a run made, as folders that others can load and that can be pushed to a hub of models and data sets."""
