"""The ledger's records as bytes: JSON, so that whoever has to can read the file by hand."""

import json
from hashlib import blake2b
from typing import TYPE_CHECKING

from sidecard.core.jsonio import JsonValue
from sidecard.core.ledger import Balance, Holding, Used
from sidecard.store.trees import Foreign

if TYPE_CHECKING:
    from collections.abc import Sequence


def spent_key(balance: Balance) -> bytes:
    """Return what the balance is kept under: a hash of its account, and its slot's start."""
    whose = json.dumps([balance.identity, balance.values]).encode()
    return blake2b(whose, digest_size=16).digest() + max(balance.start, 0).to_bytes(8, "big")


def packed(record: "Sequence[object]") -> bytes:
    """Return a record's bytes."""
    return json.dumps(record, separators=(",", ":")).encode()


def balance_of(data: bytes) -> Balance:
    """Return what was packed; raises `Foreign`."""
    return _made_balance(_parsed(data))


def _made_balance(found: JsonValue) -> Balance:
    match found:
        case [str(identity), [*values], int(start), int(spent), int(until)]:
            return Balance(identity, tuple(map(str, values)), start, spent, until)
    raise Foreign("what was spent can't be read")


def holding_of(data: bytes) -> Holding:
    """Return what was packed; raises `Foreign`."""
    match _parsed(data):
        case [int(number), [*amounts], [*used]]:
            made = tuple([_made_balance(amount) for amount in amounts])
            return Holding(number, made, _made_used(used))
    raise Foreign("what was open can't be read")


def used_of(data: bytes) -> Used:
    """Return what was packed; raises `Foreign`."""
    return _made_used(_parsed(data))


def _made_used(found: JsonValue) -> Used:
    match found:
        case [str(tenant), str(route), str(model), *numbers]:
            counts = [number for number in numbers if isinstance(number, int)]
            return Used(tenant, route, model, *counts[: len(Used().counts)])
    raise Foreign("what was used can't be read")


def _parsed(data: bytes) -> JsonValue:
    try:
        found: JsonValue = json.loads(data)
    except ValueError as error:
        raise Foreign("a record is damaged") from error
    return found
