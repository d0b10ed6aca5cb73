"""Bound: refuses a call that is larger than its caller allows, or that nobody has a price for.

Outside admission, so that what is refused takes no place in line;
inside the caches, as an answer that is there costs nothing, however long its question was.
On the way out it learns how many tokens questions really have.
"""

from collections.abc import Callable
from functools import partial

from sidecard.core.call import Call
from sidecard.core.errors import InvalidCall, Violation
from sidecard.core.handler import Handler
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.reply import Reply
from sidecard.policy.estimator import Estimator


class Bound:
    """State: the estimator's. Safe to share. `priced` says whether a model may be called."""

    def __init__(
        self, next_: Handler, *, estimator: Estimator, priced: Callable[[str], bool]
    ) -> None:
        self._next = next_
        self._estimator = estimator
        self._priced = priced

    async def __call__(self, call: Call) -> Reply:
        """Pass the call on; raises `InvalidCall` with what is to be changed."""
        model, most = call.target.model, call.max_input_tokens
        if not self._priced(model):
            fix = "set one in prices.models, or prices.unknown to allow"
            raise InvalidCall(Violation("model", f"no price is known for {model}; {fix}"))
        if most is not None and (tokens := self._estimator.upper(call, model)) > most:
            told = f"is {most:,}, and the input is estimated at up to {tokens:,} tokens"
            fix = "shorten it, or raise the limit"
            raise InvalidCall(Violation("max_input_tokens", f"{told}; {fix}"))
        reply = await self._next(call)
        reply.on_end(partial(self._settle, call, reply))
        return reply

    def _settle(self, call: Call, reply: Reply, outcome: Outcome) -> None:
        """Learn from a whole answer to the very question that was estimated."""
        attempt = reply.head.attempt
        if outcome.ending is Ending.COMPLETED and attempt is not None and attempt.usage is not None:
            self._estimator.learn(call, attempt.target, attempt.usage)

    def __repr__(self) -> str:
        return f"<Bound {self._estimator!r}>"
