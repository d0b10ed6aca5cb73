"""What can be configured of the answer cache, as in `schema`.

`Keeping` stands twice: in `cache`, for all, and at a route, where the fields that are set
replace those. What is one for the whole daemon is in `cache` alone.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from sidecard.config.kinds import (
    EncryptionKeyFile,
    Flag,
    LongSeconds,
    LongSecondsOrNone,
    Section,
    Share,
    StopReason,
    StoreBytes,
    each_once,
)


class Keeping(Section):
    """Which answers are kept, and for how long they may be given again."""

    enabled: Flag = Field(
        default=True,
        description="Whether equal calls of a tenant get the answer that was given before, at no "
        "cost. Without it every call is asked anew, unless an equal one is under way. "
        "A call can say otherwise for itself (`cache.mode`).",
    )
    ttl_s: LongSeconds = Field(
        3600.0,
        description="Seconds for which an answer is fresh, for a call that doesn't say. Longer "
        "saves more, and gives older answers.",
    )
    ttl_jitter: Share = Field(
        0.1,
        description="Share of `ttl_s`, from 0 to 1, of which chance takes a part away, so that "
        "what was asked together doesn't expire together.",
    )
    stale_if_error_s: LongSecondsOrNone = Field(
        86_400.0,
        description="Seconds after its time for which an answer is kept to stand in when every "
        "target failed, where `stale` is among the route's or the call's last resorts. "
        "0: none is.",
    )
    stale_while_revalidate_s: LongSecondsOrNone = Field(
        0.0,
        description="Seconds after its time for which an answer is still given at once, marked as "
        "stale, while a new one is asked for in the background. 0: whoever asks waits for it. "
        "At most `stale_if_error_s`.",
    )
    stop_reasons: Annotated[tuple[StopReason, ...], AfterValidator(each_once)] = Field(
        ("end_turn", "stop_sequence", "tool_use"),
        description="Why an answer may have stopped that is kept. `max_tokens` keeps those that "
        "were cut off, too. Never kept: refusals, and what broke in the middle.",
    )
    degraded: Flag = Field(
        default=False,
        description="Whether answers are kept that another target than the first gave. With it an "
        "outage of the first shows for `ttl_s` longer.",
    )
    coalesce: Flag = Field(
        default=True,
        description="Whether equal calls of a tenant at one moment share one call of the upstream. "
        "Without it each pays for itself, as with `cache.mode` BYPASS.",
    )


class Cache(Keeping):
    """Answers that were given before: which are kept, for how long, and where.

    They are kept in memory, or, with a `data_dir`, in its folder `cache` across restarts.
    A route may set all but `max_bytes` and `encryption_key_file`, as there is one store.
    """

    max_bytes: StoreBytes = Field(
        268_435_456,
        description="Size of the store, in bytes: of the file, or else of the memory, of which "
        "32 MiB at most are taken. When it is full those answers go that have expired, "
        "and then those that were used longest ago. More hits, at more disk.",
    )
    encryption_key_file: EncryptionKeyFile | None = Field(
        None,
        description="Absolute path of a file with a key of 32 bytes in base64 or hexadecimal, for "
        "AES-256-GCM: what is kept on disk is encrypted with it. To rotate, put the new key on a "
        "line above the old one; with neither of a file's keys it is set aside. What was kept "
        "in the clear is removed. null: nothing is encrypted, and the files are readable by the "
        "daemon's own user alone. Needs `data_dir`.",
    )
