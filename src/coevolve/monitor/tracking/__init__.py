"""Trackers: a run's metrics in TensorBoard, Weights & Biases and Trackio, by processes that only read the run."""
