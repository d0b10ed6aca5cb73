"""`sidecard call PROMPT`: ask a running daemon one question, with the Python client.

The answer alone goes to standard output, everything about it to standard error.
"""

import argparse
import os
import sys
from collections.abc import Iterator

from sidecard.cli import secured, show
from sidecard_client import Client, Options, Reply, SidecardError

WHOLE = ("end_turn", "stop_sequence")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.epilog = "A daemon with listen.tokens_file wants a token: set SIDECARD_TOKEN to it."
    parser.add_argument("prompt", metavar="PROMPT", help="the question; - reads standard input")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--stream", action="store_true", help="print the answer as it comes")
    shape.add_argument("--json", action="store_true", help="print the whole response as JSON")
    parser.add_argument("--model", help="a route's name or a model id (default: route default)")
    parser.add_argument("--system", help="instructions to the model")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="most tokens to write")
    parser.add_argument("--tenant", help="whom the call is for")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="most time it may take")
    parser.add_argument(
        "--address", help="host:port or unix:///path (default: $SIDECARD_ADDRESS or 127.0.0.1:7411)"
    )
    secured.add_arguments(parser)
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="say where the answer came from, on stderr"
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; return 0, or 1 when the call failed, 2 when it can't be made as asked."""
    try:
        tls = secured.tls(arguments)
        with Client(arguments.address, timeout_s=arguments.timeout, tls=tls) as client:
            reply = _answer(client, arguments)
        _remark(reply, verbose=arguments.verbose)
    except SidecardError as error:
        return show.complain(arguments, str(error), 1)
    except ValueError as error:  # The address, or a text that isn't UTF-8.
        return show.complain(arguments, str(error), 2)
    except KeyboardInterrupt:
        return show.INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on; and Python, which flushes at its exit, must not complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return show.PIPE_CLOSED
    return 0


def _answer(client: Client, arguments: argparse.Namespace) -> Reply:
    prompt = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    options = Options(
        model=arguments.model,
        system=arguments.system,
        max_tokens=arguments.max_tokens,
        tenant=arguments.tenant,
    )
    if not arguments.stream:
        reply = client.generate(prompt, **options)
        text = reply.json() if arguments.json else reply.text
        print(text, flush=True)
        return reply
    shown = False
    with client.stream(prompt, **options) as stream:
        try:
            for event in stream:
                if event.HasField("restarted") and shown:
                    print(flush=True)
                    print("note: the answer begins anew, what came before is void", file=sys.stderr)
                shown = shown or bool(event.text_delta)
                print(event.text_delta, end="", flush=True)
        finally:
            if stream.text:
                print(flush=True)
        return stream.response


def _remark(reply: Reply, *, verbose: bool) -> None:
    """Say on standard error what the reader of the answer has to know, and more if asked."""
    for line in (*_cautions(reply), *(_facts(reply) if verbose else ())):
        print(line, file=sys.stderr)


def _cautions(reply: Reply) -> Iterator[str]:
    if "simulated" in reply.model:
        yield "note: this answer is simulated; no model was asked"
    if reply.degraded:
        yield f"note: a stand-in, not the first choice: {_source(reply)}"
    if reply.stop_reason not in WHOLE:
        yield f"note: the model stopped at {reply.stop_reason}"


def _source(reply: Reply) -> str:
    """Return where an answer comes from; a static one comes from no target."""
    return f"{reply.source} from {reply.target}" if reply.target else reply.source


def _facts(reply: Reply) -> Iterator[str]:
    usage, timings = reply.usage, reply.raw.timings
    yield f"source: {_source(reply)}{f', model {reply.model}' if reply.model else ''}"
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    yield f"tokens: {usage.input_tokens + cached} in, {usage.output_tokens} out"
    nano = reply.cost_nano_usd
    yield f"cost: {'unknown' if nano is None else f'${nano // 10**9}.{nano % 10**9:09}'}"
    first, total = timings.first_event.ToMilliseconds(), timings.total.ToMilliseconds()
    yield f"time: {first} ms to the first event, {total} ms in all"
    yield f"request: {reply.request_id}"
