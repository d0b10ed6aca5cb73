"""What can be configured of retries, breakers, limits, admission and hedging, as in `schema`.

Every section stands twice: at the top, for all, and at a route or a target, where the fields
that are set replace those at the top. `merged` puts the two together.
"""

from typing import Literal

from pydantic import Field

from sidecard.config.kinds import (
    Count,
    Factor,
    Flag,
    PerMinute,
    PerSecond,
    Rate,
    Seconds,
    Section,
    Share,
)


class Retry(Section):
    """When an attempt that failed is made again, and how much of that there may be.

    Failures that may pass are retried: 408, 409, 429, 5xx, connections, timeouts before the first
    content. A route may set all but `budget_…`, as the budget is one for the whole daemon.
    """

    max_attempts: Count = Field(
        3,
        description="The most attempts at one target, the first included. 1: never retry. "
        "More hides longer faults, at more waiting. At most `max_attempts_per_call`.",
    )
    max_attempts_per_call: Count = Field(
        6,
        description="The most attempts of one call over all its targets: "
        "retries, hedges and continuations of a broken stream. It bounds what one call can cost.",
    )
    base_s: Seconds = Field(
        0.25,
        description="Seconds that the first retry waits at most. Each wait is drawn from 0 to "
        "this, doubled with each further retry. Less brings callers that failed together back "
        "together. At most `max_delay_s`.",
    )
    max_delay_s: Seconds = Field(
        8.0,
        description="Seconds beyond which that doubling doesn't go. "
        "What can't fit the call's deadline isn't tried.",
    )
    max_retry_after_s: Seconds = Field(
        10.0,
        description="The longest retry-after of the upstream that is waited for, in seconds. After "
        "a longer one the next target is asked, and without one the caller is told the time.",
    )
    budget_ratio: Share = Field(
        0.2,
        description="Retries and hedges allowed for each call of the last 10 seconds, from 0 to 1: "
        "with 0.2 they add at most a fifth of the calls, or `budget_floor_per_s` if that is more. "
        "Attempts at a further target aren't counted here: the breakers end those.",
    )
    budget_floor_per_s: PerSecond = Field(
        1.0,
        description="Retries and hedges per second that are allowed whatever the ratio says, so "
        "that a daemon with few calls can retry at all. 0 leaves the ratio alone.",
    )


class Breaker(Section):
    """When a target that fails or drags is left alone for a while, so that calls move on at once.

    What counts are 5xx, 529, connections, timeouts and broken streams; never the caller's
    mistakes and refusals of the daemon itself. A caller who left counts only where nothing had
    come for longer than `slow_s` or twice the target's usual worst. The state is per model.
    """

    mode: Literal["auto", "forced_open", "disabled"] = Field(
        "auto",
        description="`forced_open`: nothing is sent to the target. `disabled`: everything is, "
        "however it fails. `auto`: as the fields below say.",
    )
    window: Literal["time", "count"] = Field(
        "time",
        description="What is judged: the calls of the last `window_s` seconds (`time`), "
        "or the last `window_calls` calls, however old (`count`).",
    )
    window_s: Seconds = Field(
        30.0,
        description="Seconds that a `time` window reaches back. Longer is calmer, and slower to "
        "see a fault.",
    )
    window_calls: Count = Field(
        100,
        description="Calls that a `count` window holds. More is calmer, and slower to see a fault.",
    )
    minimum_calls: Count = Field(
        10,
        description="Calls in the window below which nothing is judged. Fewer lets chance open "
        "it. At most `window_calls` where the window is `count`.",
    )
    failure_rate: Rate = Field(
        0.5,
        description="Share of failed calls in the window, up to 1, from which on it opens. "
        "Less opens it on lighter faults.",
    )
    slow_rate: Rate = Field(
        0.8,
        description="Share of slow calls in the window, up to 1, from which on it opens. "
        "1 opens it only when all are slow.",
    )
    slow_s: Seconds = Field(
        30.0,
        description="Seconds to the first content of the answer after which a call counts as "
        "slow. Less than long prompts and thinking take opens it for no fault; "
        "`timeouts.first_event_s` or more never counts. Answers in one piece "
        "(`upstream.unstreamed_max_tokens`) show no first content, and are never slow.",
    )
    probes: Count = Field(
        3,
        description="Calls let through to try the target when the open time is over. "
        "If they do well it closes, else it opens again. More is surer, and costs more calls "
        "while the target is still down.",
    )
    open_s: Seconds = Field(
        10.0,
        description="Seconds that it stays open the first time. Less asks a target sooner whether "
        "it is back, and costs more calls that fail. At most `max_open_s`.",
    )
    open_growth: Factor = Field(
        2.0,
        description="What the open time is multiplied by each time that the probes fail. "
        "1 keeps it as it is.",
    )
    max_open_s: Seconds = Field(
        60.0,
        description="Seconds beyond which the open time doesn't grow. Longer asks a dead target "
        "less often, and sees later that it is back.",
    )
    open_jitter: Share = Field(
        0.1,
        description="Share of the open time, from 0 to 1, that chance moves it by, so that many "
        "daemons don't probe at one moment.",
    )
    count_throttled: Flag = Field(
        default=False,
        description="Whether a 429 counts as a failure. Without it the limits alone deal with "
        "that, as the target is well.",
    )


class Limits(Section):
    """How much a target is sent, so that the upstream needn't refuse it. The state is per model.

    A call that would wait too long moves on to the next target, or is refused with the time
    after which it may come again.
    """

    requests_per_minute: PerMinute | None = Field(
        None,
        description="Requests per minute. null: as many as the upstream's headers tell, "
        "without bound until they do. Daemons that share a key share its limits: give each a part.",
    )
    input_tokens_per_minute: PerMinute | None = Field(
        None,
        description="Input tokens per minute, without what is read from the upstream's prompt "
        "cache. Estimated before a call, corrected after it. null: as the upstream's headers "
        "tell.",
    )
    output_tokens_per_minute: PerMinute | None = Field(
        None,
        description="Output tokens per minute. A call reserves a learned share of its "
        "`max_tokens`, corrected after it. null: as the upstream's headers tell.",
    )
    follow_headers: Flag = Field(
        default=True,
        description="Whether the upstream's `anthropic-ratelimit-…` headers correct the limits. "
        "Without it only the numbers here hold. A 429 is heeded in any case.",
    )
    max_wait_s: Seconds = Field(
        10.0,
        description="Seconds that a call waits at most for its turn at a target; one that would "
        "wait longer moves on at once.",
    )
    longest_closed_s: Seconds = Field(
        60.0,
        description="Seconds that one 429 can close the target for at most, whatever its "
        "retry-after says; then one call may try.",
    )


class Admission(Section):
    """How many calls run and wait at once; others are refused before they cost anything.

    A route that sets any of these has places of its own, apart from those of all others.
    """

    in_flight: Count = Field(
        1024,
        description="Calls that run at once, each to the end of its answer. "
        "More takes more memory; fewer makes calls wait, or refuses them.",
    )
    queue: Count = Field(
        1024,
        description="Calls that may wait for a place. When it is full, or a call can't be served "
        "by its deadline, it is refused at once. More waits longer before it refuses.",
    )
    batch_max_wait_s: Seconds = Field(
        30.0,
        description="Seconds after which a waiting call of priority BATCH counts as INTERACTIVE, "
        "so that it is served even when there is always something more urgent.",
    )
    adaptive: Flag = Field(
        default=False,
        description="Whether the limit is lowered while first events come late, and raised again "
        "up to `in_flight` when they don't.",
    )
    adaptive_min: Count = Field(
        8,
        description="Calls at once below which an adaptive limit doesn't go. "
        "At most `in_flight` where `adaptive` is true.",
    )
    adaptive_tolerance: Factor = Field(
        2.0,
        description="How many times their usual time first events may take before an adaptive "
        "limit is lowered, 1 or more. Less refuses sooner.",
    )


class Hedge(Section):
    """A second attempt beside one that is late: the first of the two to answer is taken.

    Each is paid for, and taken from the retry budget.
    """

    enabled: Flag = Field(
        default=False,
        description="Whether calls are hedged. It shortens the longest waits, and costs up to "
        "`retry.budget_ratio` more.",
    )
    delay_s: Seconds | None = Field(
        None,
        description="Seconds without a first event after which the second attempt is made. "
        "null: the 95th percentile of the route's own times, as learned. An answer in one piece "
        "(`upstream.unstreamed_max_tokens`) has to be whole by then, so that a fixed delay needs "
        "to be longer than most answers take.",
    )
    min_delay_s: Seconds = Field(
        0.05,
        description="Seconds below which a learned delay doesn't go. At most `delay_s`.",
    )
