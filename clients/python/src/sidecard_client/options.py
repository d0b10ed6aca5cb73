"""How every channel to a daemon is set up."""

from typing import Final

OPTIONS: Final = (
    # The daemon has the limits, and names the field that is over one.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Trying again is the daemon's work; no proxy leads there, and no DNS record configures it.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    # It is back within a second of a restart; gRPC would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A daemon that hangs is noticed in a long silence too; it takes a ping a second at most.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
)
