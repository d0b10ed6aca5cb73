"""The gRPC edge: contract to core and back, errors to statuses, and the daemon's life.

Only this package knows gRPC and the generated contract.
"""
