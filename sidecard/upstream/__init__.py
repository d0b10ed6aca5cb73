"""To Anthropic and back: the wire format, two transports, and what their failures mean.

`handler.py` is the innermost handler of the stack: one call of it is one attempt at one target.
"""
