"""The worker: a process that judges what it is asked on its standard input, and answers at once.

A question and each answer is a frame.
It bounds itself, in CPU time by an alarm that ends it and in memory by a limit,
so that nothing is left of it when the daemon is gone in the middle of a question.
CPU time, because a node that is busy is no fault of a schema.
"""

import json
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import BinaryIO, Final

from sidecard.schema.frames import LENGTH, frame
from sidecard.schema.judge import Judge

_MEMORY_BYTES: Final = 1 << 30


def main() -> None:
    """Answer questions until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A terminal's ^C is for the daemon.
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer what is asked; returns when nothing more is, and after a bug, which it tells."""
    judge = Judge()
    answers.write(frame({"ready": True}))
    answers.flush()
    while len(head := questions.read(LENGTH.size)) == LENGTH.size:
        question = json.loads(questions.read(LENGTH.unpack(head)[0]))
        signal.setitimer(signal.ITIMER_PROF, question["limit_s"])
        try:
            for answer in judge.answers(question["schema"], question["answer"]):
                answers.write(frame(answer))
                answers.flush()
        except BaseException as error:  # The validator's panics are no `Exception`.
            if isinstance(error, MemoryError):
                raise
            answers.write(frame({"bug": _where(error)}))
            answers.flush()
            return
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def _where(error: BaseException) -> str:
    """Return what happened and where, without a word of what was judged."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


if __name__ == "__main__":
    main()
