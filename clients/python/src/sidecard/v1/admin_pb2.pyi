import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PurgeCacheRequest(_message.Message):
    __slots__ = ("tenant", "route", "older_than", "everything")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    OLDER_THAN_FIELD_NUMBER: _ClassVar[int]
    EVERYTHING_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    route: str
    older_than: _duration_pb2.Duration
    everything: bool
    def __init__(self, tenant: _Optional[str] = ..., route: _Optional[str] = ..., older_than: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., everything: _Optional[bool] = ...) -> None: ...

class PurgeCacheResponse(_message.Message):
    __slots__ = ("removed",)
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    removed: int
    def __init__(self, removed: _Optional[int] = ...) -> None: ...

class ResetBreakerRequest(_message.Message):
    __slots__ = ("target", "everything")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    EVERYTHING_FIELD_NUMBER: _ClassVar[int]
    target: str
    everything: bool
    def __init__(self, target: _Optional[str] = ..., everything: _Optional[bool] = ...) -> None: ...

class ResetBreakerResponse(_message.Message):
    __slots__ = ("closed",)
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    closed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, closed: _Optional[_Iterable[str]] = ...) -> None: ...

class ReloadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadResponse(_message.Message):
    __slots__ = ("sha256", "waiting_for_restart")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_RESTART_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    waiting_for_restart: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sha256: _Optional[str] = ..., waiting_for_restart: _Optional[_Iterable[str]] = ...) -> None: ...

class ReleaseLeftOpenRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReleaseLeftOpenResponse(_message.Message):
    __slots__ = ("attempts", "nano_usd")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NANO_USD_FIELD_NUMBER: _ClassVar[int]
    attempts: int
    nano_usd: int
    def __init__(self, attempts: _Optional[int] = ..., nano_usd: _Optional[int] = ...) -> None: ...
