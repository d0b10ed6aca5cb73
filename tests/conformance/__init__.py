"""Plays the vectors of `clients/conformance` to a client of any language, and judges its reports.

`python -m tests.conformance go` plays all of them to the Go client.
"""
