"""The edges: gRPC, HTTP and the admin page; errors to statuses, and the daemon's life.

Only this package knows gRPC and the generated contract.
"""
