"""How a run is doing: progress, summary, health, alarms and trackers."""
