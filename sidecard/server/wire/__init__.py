"""Between the contract and core, piece by piece: checks on the way in, nothing lost on either.

`…_in` modules read messages of `sidecard.v1` and note every violation;
`…_out` modules give what the constructors of those messages take, as plain dicts:
one constructor call on nested dicts is the cheapest way to build a message with upb.
"""
