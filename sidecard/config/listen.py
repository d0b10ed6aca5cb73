"""The section `listen`: where the daemon answers, whom, and how much it bears of them."""

from typing import Annotated, TypeAlias

from pydantic import Field

from sidecard.config.kinds import (
    AdminAddress,
    Bytes,
    Count,
    Expect,
    Flag,
    HttpAddress,
    ListenAddress,
    PemFile,
    Seconds,
    SecondsOrNone,
    Section,
    StoreBytes,
    TokenFile,
    is_loopback,
    split_address,
)

FileMode: TypeAlias = Annotated[
    str,
    Field(coerce_numbers_to_str=True, pattern=r"^(0o?)?[67][0-7]{2}$"),
    Expect('permissions in octal that let the owner read and write, as "0600"'),
]


class Tls(Section):
    """Encrypts `listen.grpc` and `listen.http`, where they are TCP addresses.

    The files are read again when they change, for the connections that come then. New ones that
    are no good are told in the log, and those before them hold.
    """

    cert_file: PemFile = Field(
        description="Absolute path of the certificate in PEM, those of its issuers after it. "
        "It has to be valid now: what is expired, or not of the key, is a mistake.",
    )
    key_file: PemFile = Field(
        description="Absolute path of the certificate's private key in PEM, without a passphrase.",
    )
    client_ca_file: PemFile | None = Field(
        None,
        description="Absolute path of certificates in PEM of which one has to have issued the "
        "caller's own (mTLS): no others connect. null: callers need none.",
    )


class Listen(Section):
    """Where the daemon answers, and how much it takes."""

    grpc: ListenAddress = Field(
        "127.0.0.1:7411",
        description="Where gRPC is served: `host:port` or `unix:///absolute/path`. "
        "Port 0 takes a free one, which the log names. Whoever reaches the address can spend on "
        "the key, where no token is needed. One that other machines reach needs `tls`.",
    )
    tokens_file: TokenFile | None = Field(
        None,
        description="Absolute path of a file with callers' tokens: in each line a tenant, or `*` "
        "for any, and a token of 16 to 512 visible characters that its callers send as "
        "`authorization: Bearer`, over HTTP as `x-api-key`, too. A call without one of them fails "
        "with UNAUTHENTICATED, one for another tenant with PERMISSION_DENIED, and one that names "
        "no tenant is for the token's. Read again when it changes; a new one that is no good is "
        "told in the log, and the tokens before it hold. null: no call needs one.",
    )
    admin: AdminAddress | None = Field(
        "127.0.0.1:7412",
        description="Where the status page, `/status.json`, `/usage.json`, `/metrics`, `/healthz` "
        "and `/readyz` are served over HTTP: `host:port`, no socket's file. "
        "Port 0 takes a free one, which the log names. null: nowhere. "
        "There is no encryption and no login. A Prometheus that scrapes the pod's address needs "
        "`0.0.0.0:7412` here and `allow_remote`; `listen.grpc` can stay on loopback.",
    )
    http: HttpAddress | None = Field(
        None,
        description="Where Anthropic's own `/v1/messages` is served over HTTP, for programs that "
        "use one of its SDKs: `host:port`, as `127.0.0.1:7413`. Their base URL is then "
        "`http://127.0.0.1:7413`, and their key isn't looked at, but for a token of `tokens_file`. "
        "null: nowhere. Whoever reaches the address can spend on the key, where no token is "
        "needed. One that other machines reach needs `tls`; the base URL is then `https`.",
    )
    admin_token_file: TokenFile | None = Field(
        None,
        description="Absolute path of the file with the token that an operator's order, such as "
        "`sidecard cache purge`, has to carry. Read at each. null: `admin-token` in `data_dir`, "
        "which the daemon makes for its own user; without a `data_dir` no order is taken.",
    )
    health: AdminAddress | None = Field(
        None,
        description="Where else the health is told over gRPC, and nothing but that: `host:port`. "
        "Kubernetes probes a pod from outside, so that it needs `0.0.0.0:7415` here and "
        "`allow_remote`; `listen.grpc`, where calls cost money, can stay on loopback. "
        "Port 0 takes a free one, which the log names. null: only `listen.grpc` tells it.",
    )
    unix_mode: FileMode = Field(
        "0600",
        description="Permissions of the socket's file, in octal. "
        '"0600" lets the daemon\'s own user in alone, "0660" its group too. '
        "Of no effect on a TCP address.",
    )
    allow_remote: Flag = Field(
        default=False,
        description="Whether `admin` and `health` may be TCP addresses that other machines reach. "
        "Without it such an address is refused. `grpc` and `http` need `tls` for that.",
    )
    tls: Tls | None = Field(
        None,
        description="The certificate with which `grpc` and `http` are encrypted, where they are "
        "TCP addresses: `cert_file`, `key_file` and, for mTLS, `client_ca_file`. "
        "`admin` and `health` aren't. null: nothing is.",
    )
    insecure: Flag = Field(
        default=False,
        description="Whether `grpc` and `http` may be TCP addresses that other machines reach "
        "without `tls`: all that calls say, their tokens too, then travels in clear. "
        "Without it such an address is refused.",
    )
    max_message_bytes: Bytes = Field(
        33_554_432,
        description="Size of the largest request taken, in bytes. A larger one is refused with a "
        "sentence. While it is read and sent on, a call holds up to six times its size.",
    )
    header_bytes: Bytes = Field(
        16_384,
        description="Most bytes of a call's metadata over gRPC, and of one header over HTTP, whose "
        "headers together may have four times as many. More fails with RESOURCE_EXHAUSTED, over "
        "HTTP with 400.",
    )
    connections: Count = Field(
        4096,
        description="Most connections at one time, to `grpc` and to `http` each. One more is "
        "closed at once. An idle one holds about 15 kB.",
    )
    streams: Count = Field(
        2048,
        description="Most calls that one gRPC connection has open at one time. Clients hold back "
        "what is more, in silence; those that don't have it reset.",
    )
    calls: Count = Field(
        8192,
        description="Most gRPC calls that are open at one time, those whose request is still "
        "coming and hits included. One more fails with RESOURCE_EXHAUSTED, its request unread. "
        "`admission` bounds those that run.",
    )
    max_memory_bytes: StoreBytes | None = Field(
        None,
        description="Memory of the process's own, in bytes, beyond which calls that come are "
        "refused with RESOURCE_EXHAUSTED, their request unread, while others run; the file of the "
        "cache doesn't count. null: nine tenths of what the container may use, any amount outside "
        "of one. More risks that the kernel kills the daemon, and every call with it.",
    )
    handshake_s: Seconds = Field(
        10.0,
        description="Seconds that a new connection has to say what it is: TLS, then gRPC's "
        "settings; and that an HTTP request's headers have to come whole. Who says half is cut.",
    )
    body_s: Seconds = Field(
        30.0,
        description="Seconds that a request has to come whole, once its headers are there. "
        "Who sends it drop by drop fails with DEADLINE_EXCEEDED, over HTTP with 504.",
    )
    idle_s: Seconds = Field(
        300.0,
        description="Seconds without a call after which a connection is closed; gRPC's clients "
        "connect again by themselves.",
    )
    age_s: Seconds = Field(
        3600.0,
        description="Seconds after which a gRPC connection is asked to go, give or take a tenth, "
        "and an HTTP connection is closed after the answer that is under way; clients connect "
        "again by themselves. Calls on it have `timeouts.total_s` to end, then it is cut: so a "
        "caller that takes no answer holds memory, and its `calls`, no longer. Over HTTP one that "
        "takes nothing of an answer for `timeouts.total_s` is cut at once.",
    )
    orders: Flag = Field(
        default=True,
        description="Whether an operator's orders are taken, over gRPC with the token. "
        "Without it there is no `sidecard.v1.AdminService` at all.",
    )
    reflection: Flag = Field(
        default=True,
        description="Whether generic clients such as grpcurl may ask for the contract.",
    )
    keepalive_s: Seconds = Field(
        60.0,
        description="Seconds without traffic after which a connection is probed, so that one whose "
        "peer has vanished is noticed. Less costs traffic and wakes idle machines.",
    )
    grace_s: SecondsOrNone = Field(
        25.0,
        description="Seconds that running calls get to finish after SIGTERM. 0 ends them at once. "
        "Keep it below the pod's terminationGracePeriodSeconds (30), or they are killed.",
    )


def open_to_all(listen: Listen) -> list[str]:
    """Return the addresses where who isn't known, on another machine, can spend on the key."""
    if listen.tokens_file is not None or (listen.tls and listen.tls.client_ca_file):
        return []
    splits = [(a, split_address(a)) for a in (listen.grpc, listen.http) if a is not None]
    return [address for address, split in splits if split and not is_loopback(split[0])]
