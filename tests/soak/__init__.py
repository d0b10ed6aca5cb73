"""A long run of mixed load with faults, reloads and key rotations, and what must hold of it."""
