"""The terms of a call: for whom it is, what it may cost, and what may stand in for an answer."""

import re
from typing import Final

from google.protobuf.duration_pb2 import Duration

from sidecard.core.call import (
    DEFAULT_CACHE,
    CacheMode,
    CachePolicy,
    FallbackPolicy,
    LastResort,
    Priority,
)
from sidecard.core.errors import PermissionDenied
from sidecard.core.jsonio import JsonObject
from sidecard.core.names import LABEL_CHARS, LABEL_KEY_CHARS, TENANT, TENANT_RULE
from sidecard.server.wire.violations import Violations, has_controls, shown
from sidecard.v1 import generation_pb2 as pb

BETA: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_DURATION_S, _SECOND_NS = 315_576_000_000, 1_000_000_000  # google.protobuf.Duration
_LABELS, _NAMESPACE_CHARS = 16, 64

_PRIORITIES: Final = {
    pb.PRIORITY_UNSPECIFIED: Priority.INTERACTIVE,
    pb.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    pb.PRIORITY_BATCH: Priority.BATCH,
}
_CACHE_MODES: Final = {
    pb.CachePolicy.MODE_UNSPECIFIED: CacheMode.DEFAULT,
    pb.CachePolicy.MODE_DEFAULT: CacheMode.DEFAULT,
    pb.CachePolicy.MODE_BYPASS: CacheMode.BYPASS,
    pb.CachePolicy.MODE_REFRESH: CacheMode.REFRESH,
    pb.CachePolicy.MODE_ONLY: CacheMode.ONLY,
}
_LAST_RESORTS: Final = {
    pb.LAST_RESORT_STALE: LastResort.STALE,
    pb.LAST_RESORT_DEFERRED: LastResort.DEFERRED,
    pb.LAST_RESORT_STATIC: LastResort.STATIC,
}


def are_betas(value: object) -> bool:
    """Whether it is a list of names that can travel in the header `anthropic-beta`."""
    return isinstance(value, list) and all(
        isinstance(name, str) and BETA.fullmatch(name) for name in value
    )


def tenant_of(request: pb.GenerateRequest, own: str, found: Violations) -> str:
    """Return whom the call is for, of a caller whose token is for `own` alone, "" for all."""
    tenant = request.tenant or own or "default"
    if not TENANT.fullmatch(tenant):
        found.add("tenant", f"is {shown(tenant)}; it has to be {TENANT_RULE}")
    return permitted(tenant, own)


def permitted(tenant: str, own: str) -> str:
    """Return the tenant; raises `PermissionDenied` where a token is for another."""
    if own and tenant != own:
        raise PermissionDenied(f"the token is for tenant {own}, and the call for {shown(tenant)}")
    return tenant


def labels_of(request: pb.GenerateRequest, found: Violations) -> JsonObject:
    """Return the caller's labels, none as an empty object."""
    labels = dict(request.labels)
    if len(labels) > _LABELS:
        found.add("labels", f"are {len(labels):,}; at most {_LABELS} are taken")
        return {}
    for key, value in labels.items():
        path = f"labels[{shown(key)}]"
        if not 1 <= len(key) <= LABEL_KEY_CHARS:
            found.add(
                path, f"has a key of {len(key):,} characters; 1 to {LABEL_KEY_CHARS} are taken"
            )
        if len(value) > LABEL_CHARS:
            found.add(path, f"has {len(value):,} characters; at most {LABEL_CHARS} are taken")
        if has_controls(key) or has_controls(value):
            found.add(path, "has control characters; remove them")
    return labels


def priority_of(request: pb.GenerateRequest, found: Violations) -> Priority:
    """Return who goes first."""
    priority = _PRIORITIES.get(request.priority)
    if priority is None:
        found.add("priority", f"has the unknown value {request.priority}; use one of Priority")
    return priority or Priority.INTERACTIVE


def cache_of(request: pb.GenerateRequest, found: Violations) -> CachePolicy:
    """Return what the cache may do."""
    if not request.HasField("cache"):
        return DEFAULT_CACHE
    policy = request.cache
    mode = _CACHE_MODES.get(policy.mode)
    if mode is None:
        found.add("cache.mode", f"has the unknown value {policy.mode}; use one of Mode")
    if len(policy.namespace) > _NAMESPACE_CHARS:
        length = f"{len(policy.namespace):,} characters"
        found.add("cache.namespace", f"has {length}; at most {_NAMESPACE_CHARS} are taken")
    elif has_controls(policy.namespace):
        found.add("cache.namespace", "has control characters; remove them")
    ttl_s = _seconds(policy.ttl, "cache.ttl", found) if policy.HasField("ttl") else None
    return CachePolicy(mode or CacheMode.DEFAULT, ttl_s, policy.namespace)


def fallback_of(request: pb.GenerateRequest, found: Violations) -> FallbackPolicy | None:
    """Return what may stand in for an answer; None where the route says."""
    if not request.HasField("fallback"):
        return None
    policy = request.fallback
    allowed = set()
    for index, number in enumerate(policy.last_resorts):
        resort = _LAST_RESORTS.get(number)
        if resort is None:
            what = f"has the unknown value {number}" if number else "is unspecified"
            found.add(f"fallback.last_resorts[{index}]", f"{what}; use one of LastResort")
        else:
            allowed.add(resort)
    continues = policy.continue_stream if policy.HasField("continue_stream") else None
    return FallbackPolicy(frozenset(allowed), continues)


def limits_of(request: pb.GenerateRequest, found: Violations) -> tuple[int | None, int | None]:
    """Return the most that the call may cost, in nano-US-dollars, and its most input tokens."""
    cost = tokens = None
    if request.HasField("max_cost_nano_usd"):
        cost = request.max_cost_nano_usd
        if cost < 0:
            found.add("max_cost_nano_usd", f"is {cost}; it can't be negative")
    if request.HasField("max_input_tokens"):
        tokens = request.max_input_tokens
        if tokens < 1:
            found.add("max_input_tokens", f"is {tokens}; it has to be at least 1")
    return cost, tokens


def _seconds(duration: Duration, path: str, found: Violations) -> float:
    seconds = duration.seconds + duration.nanos / 1e9
    if not (0 <= duration.seconds <= _DURATION_S and 0 <= duration.nanos < _SECOND_NS):
        found.add(path, f"is {seconds:g} s, or no valid Duration; it has to be 0 or more")
    return seconds
