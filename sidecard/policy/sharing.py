"""Sharing: who may share the answer of one call, and what each of them has of its own.

What has to be equal is all that could change the answer, and all that bounds or replaces it:
nobody fails by the limits of another's call, or is shown what only another's policy allows.
The tenant is part of it twice, as nothing may be shared between two: not even how long it takes.
"""

from dataclasses import replace
from typing import TypeAlias

from sidecard.core.call import Call
from sidecard.core.errors import SidecardError
from sidecard.core.reply import Head, Source
from sidecard.core.trail import Trail
from sidecard.policy.fingerprint import Fingerprint

Terms: TypeAlias = tuple[object, ...]


def terms(call: Call, fingerprint: Fingerprint) -> Terms:
    """Return what is equal for the calls that may share one answer.

    A caller who has the cache refreshed shares with others who do, and with nobody else:
    their flight began with the wish for a new answer.
    """
    return (
        call.tenant,
        fingerprint.whole,
        call.cache.mode,
        call.route,
        call.last_resorts,
        call.continues,
        call.max_cost_nano_usd,
        call.max_input_tokens,
    )


def shared(head: Head) -> Head:
    """Return the head for one who didn't pay for the answer; a stand-in stays named as that."""
    return replace(head, source=Source.COALESCED) if head.source is Source.UPSTREAM else head


def copied(error: BaseException) -> BaseException:
    """Return an error like `error`, which another may write on; a bug is returned as it is."""
    if not isinstance(error, SidecardError):
        return error
    # Not all are made from their `args` alone, so none is made anew.
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(error.__dict__)
    copy.__cause__, copy.__suppress_context__ = error.__cause__, error.__suppress_context__
    return copy.with_traceback(error.__traceback__)


def retell(flown: Trail, trail: Trail, *, paid: bool) -> None:
    """Write on a caller's trail the attempts that were made for all who shared them.

    What they used and cost, and how long they waited for a permit, is told to the one who `paid`:
    to all others they are `shared`.
    """
    for attempt in flown:
        if not attempt.sent:
            skipped = trail.skip(attempt.target, attempt.began, attempt.error)
            skipped.span_id, skipped.shared = attempt.span_id, not paid
            continue
        told = trail.begin(attempt.target, attempt.began)
        told.duration_s, told.error = attempt.duration_s, attempt.error
        told.kind, told.span_id, told.shared = attempt.kind, attempt.span_id, not paid
        told.first_event_s = attempt.first_event_s
        told.usage = attempt.usage if paid else None
        told.cost_nano_usd = attempt.cost_nano_usd if paid else 0
    if paid:
        trail.queued_s = flown.queued_s
