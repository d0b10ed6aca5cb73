"""What decides: synchronous functions and state machines, handed the time and never waiting.

No asyncio, no input or output, no logging: a decision is made in one piece and tested as such.
"""
