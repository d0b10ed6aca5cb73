"""The worker: a process that judges what it is asked on its standard input, and answers at once.

A question and each answer is a frame: four bytes of length, then JSON.
It bounds itself, in time by an alarm that ends it and in memory by a limit,
so that nothing is left of it when the daemon is gone in the middle of a question.
"""

import json
import resource
import signal
import struct
import sys
from typing import BinaryIO, Final

from sidecard.core.jsonio import JsonValue
from sidecard.schema.judge import Judge

LENGTH: Final = struct.Struct(">I")
_MEMORY_BYTES: Final = 1 << 30
_GRACE_S: Final = 1.0
"""What the alarm gives beyond the time that the daemon waits, as the daemon ends it first."""


def frame(value: JsonValue) -> bytes:
    """Return a value as it travels, in ASCII, so that half a character does too."""
    data = json.dumps(value).encode("ascii")
    return LENGTH.pack(len(data)) + data


def main() -> None:
    """Answer questions until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A terminal's ^C is for the daemon.
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer what is asked; returns when nothing more is."""
    judge = Judge()
    while len(head := questions.read(LENGTH.size)) == LENGTH.size:
        question = json.loads(questions.read(LENGTH.unpack(head)[0]))
        signal.setitimer(signal.ITIMER_REAL, question["limit_s"] + _GRACE_S)
        for answer in judge.answers(question["schema"], question["answer"]):
            answers.write(frame(answer))
            answers.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
