"""Faults under load, with real processes: what has to hold whatever happens."""
