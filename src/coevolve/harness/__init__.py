"""Measuring any model on suites: a run's, a folder's, or one behind an endpoint; resumable, with every answer kept."""
