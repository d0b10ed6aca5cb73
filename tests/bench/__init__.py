"""What the daemon costs, as ratios to two floors in one run: `python -m tests.bench --help`.

Every part is a process of its own: the daemon, the floors, the mock upstream, the load.
A floor does the least that has the same shape, so the ratio says what policy costs,
and outlasts a change of machine.
"""
