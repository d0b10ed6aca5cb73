"""A stand-in for the Anthropic API: for demos without a key, and for tests with every fault.

It answers deterministically from the request, reports usage, and plays fault scripts (`script`).
Each answer's model begins with `simulated-`, so that none can be mistaken for a real one.
Import `server` or `serve` where it is needed: this package pulls in aiohttp's web server.
"""
