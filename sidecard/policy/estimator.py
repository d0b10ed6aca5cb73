"""Estimator: how many tokens of input a call has, by model, from what its calls really had.

Two answers: what is to be expected, and what it won't exceed. Both begin with the same guess.
The first follows what is usual for the model. The second carries a margin, goes up at once
when a question turns out to be above it, and comes back slowly, but never below the margin:
a thousand questions in English say nothing of the first one in another script.
"""

from math import ceil
from typing import Final

from sidecard.core.call import Call
from sidecard.core.event import Usage
from sidecard.policy.estimate import MOST_MADE_UP, Guess, Ratio
from sidecard.policy.keyed import Keyed
from sidecard.policy.schema_form import parameters_of

_PRIOR_TOKENS: Final = 1_000.0
_FRAME: Final = 20
"""What the API adds to any question, at most."""
_KEPT: Final = 0.99
"""What is left of a lift after each call that didn't need it."""


class _Learned:
    """What was learned of one model."""

    __slots__ = ("lift", "usual")

    def __init__(self, _: str) -> None:
        self.usual = Ratio(_PRIOR_TOKENS)
        self.lift = 1.0


class Estimator:
    """State: what was learned, for each model. Safe to share within one event loop.

    `upper` is never below what any text has that `MARGIN` was measured on, and no text at all has
    more than `MOST_MADE_UP` times that. Nor is it lifted further: beyond that it wasn't the
    question that was billed, and one tenant's odd texts mustn't take all room from the others.
    A file's tokens are an assumption: those of a document that only the upstream can read, too.
    """

    def __init__(self) -> None:
        self._models: Keyed[_Learned] = Keyed(_Learned)

    def expected(self, call: Call, model: str) -> int:
        """Return the tokens of input that the call has, as likely more as less."""
        return max(1, ceil(_guess(call).expected * self._models(model).usual.value))

    def upper(self, call: Call, model: str) -> int:
        """Return the tokens of input that the call has at most."""
        return _guess(call).most(self._models(model).lift) + _FRAME

    def caches(self, call: Call) -> bool:
        """Return whether the call has any of its input written to the upstream's prompt cache."""
        return _guess(call).caches

    def learn(self, call: Call, model: str, usage: Usage) -> None:
        """Learn from the usage of a whole answer to a call whose tokens were asked for before.

        Of files nothing is learned, nor of what tools brought in that the upstream ran.
        """
        memo = call.trail.guess
        if memo is None or memo[0] is not call.messages or not isinstance(memo[2], Guess):
            return
        guess, read = memo[2], usage.input_tokens + usage.cache_read_tokens
        actual = read + usage.cache_write_tokens
        if not actual or not guess.certain or usage.raw.get("server_tool_use"):
            return
        learned = self._models(model)
        learned.usual.note(actual, guess.text)
        needed = min((actual - _FRAME) / guess.text_most, MOST_MADE_UP)
        learned.lift = max(1.0, needed, 1.0 + (learned.lift - 1.0) * _KEPT)

    def status(self) -> dict[str, object]:
        """Return what an operator wants to know: by model, what is usual, and the lift."""
        return {
            model: {"usual": round(learned.usual.value, 3), "lift": round(learned.lift, 3)}
            for model, learned in self._models
        }

    def __repr__(self) -> str:
        return f"<Estimator, {len(list(self._models))} models>"


def _guess(call: Call) -> Guess:
    """Return the guess for a call, which is made once for all who ask."""
    trail = call.trail
    form = None if call.output_schema is None else call.target.structured
    if trail.guess is None or trail.guess[0] is not call.messages or trail.guess[1] is not form:
        # With its schema in the form that the target is sent.
        trail.guess = (call.messages, form, Guess(call.messages, parameters_of(call)))
    guess = trail.guess[2]
    if not isinstance(guess, Guess):
        raise TypeError(guess)
    return guess
