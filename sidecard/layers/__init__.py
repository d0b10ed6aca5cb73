"""The stack's layers, one small file each, all of one skeleton.

A layer wraps the next handler: decide (synchronously), call `next`,
have what must be released settled by `reply.on_end`, return the reply.
`app.py` puts them in order and says why.
"""
