"""Memory of a run before anything is loaded."""
