"""The core abstraction: calls, events, replies, handlers and the errors they raise.

Three nouns and one verb.
A `Call` goes in, a `Reply` (a head and a single-use stream of `Event`s) comes out,
and a `Handler` turns one into the other.
Nothing here knows of gRPC, HTTP, storage or configuration;
every other package builds on this one and it imports none of them.
"""
