"""The metrics of the conventions for generative AI: each attempt once, with what it used."""

from sidecard.core.event import Usage
from sidecard.core.outcome import Ending, Outcome
from sidecard.telemetry.gen_ai import GenAi
from sidecard.telemetry.metrics import Metrics
from tests.support.script import HEAD, a_call
from tests.telemetry.test_families import none, samples

OF = 'gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="a"'
DURATION = "gen_ai_client_operation_duration_seconds"
TOKENS = "gen_ai_client_token_usage"


def test_each_attempt_is_an_operation() -> None:
    """A failed one lasts to its error, the one that answered to the answer's end."""
    metrics = Metrics(none, targets=["a"])
    call = a_call()
    failed, answered = call.trail.begin("a", 1.0), call.trail.begin("a", 3.0)
    failed.error, failed.duration_s = "UPSTREAM_THROTTLED", 1.5
    answered.duration_s = 0.25
    answered.usage = Usage(10, 20, cache_read_tokens=30, cache_write_tokens=2)
    call.trail.skip("a", 3.0, "BREAKER_OPEN")
    metrics.call(call, HEAD, Outcome(Ending.COMPLETED, answered.usage, None, 3.5, 9.0), began=1.0)
    found = samples(metrics)
    assert found[f'{DURATION}_sum{{error_type="UPSTREAM_THROTTLED",{OF}}}'] == 1.5
    assert found[f'{DURATION}_sum{{error_type="",{OF}}}'] == 6.0
    counts = [value for name, value in found.items() if name.startswith(f"{DURATION}_count")]
    assert counts == [1.0, 1.0]
    assert found[f'{TOKENS}_sum{{{OF},gen_ai_token_type="input"}}'] == 42
    assert found[f'{TOKENS}_sum{{{OF},gen_ai_token_type="output"}}'] == 20


def test_the_buckets_are_those_of_the_conventions() -> None:
    """From 10 ms to 82 s, and from one token to 67 million."""
    seconds, tokens = GenAi().families
    assert (seconds.bounds[0], seconds.bounds[5], seconds.bounds[-1]) == (0.01, 0.32, 81.92)
    assert (tokens.bounds[0], tokens.bounds[-1]) == (1, 67_108_864)
