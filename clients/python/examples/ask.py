"""A question, a stream, and what to do when there is no answer.

    python examples/ask.py "Why is the sky blue?"

A daemon has to be running: `sidecard serve`, or `make run` in sidecard's repository.
"""

# ruff: noqa: T201, INP001  # an example prints, and is run, not imported

import asyncio
import sys

from sidecard_client import AsyncClient, Client, SidecardError


def ask(question: str) -> None:
    """Wait for the whole answer, then go on with the conversation."""
    with Client(timeout_s=60, wait_for_ready_s=5) as client:
        reply = client.generate(question, system="Answer in one sentence.", max_tokens=200)
        print(f"{reply.text}\n  ({reply.source}, {reply.usage.output_tokens} tokens)")
        further = client.generate(
            messages=[
                {"role": "user", "content": question},
                {"role": "assistant", "content": reply.content},
                {"role": "user", "content": "Say it in five words."},
            ]
        )
        print(further.text)


async def stream(question: str) -> None:
    """Print the answer as it comes."""
    async with AsyncClient(timeout_s=60) as client, client.stream(question) as events:
        async for piece in events.text_stream:
            print(piece, end="", flush=True)
        print(f"\n  (stopped at {events.response.stop_reason})")


def main() -> int:
    """Run both; return the exit status."""
    question = " ".join(sys.argv[1:]) or "Why is the sky blue?"
    try:
        ask(question)
        asyncio.run(stream(question))
    except SidecardError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
