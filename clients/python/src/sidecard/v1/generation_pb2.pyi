import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from sidecard.v1 import content_pb2 as _content_pb2
from sidecard.v1 import stream_pb2 as _stream_pb2
from sidecard.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_INTERACTIVE: _ClassVar[Priority]
    PRIORITY_BATCH: _ClassVar[Priority]

class LastResort(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LAST_RESORT_UNSPECIFIED: _ClassVar[LastResort]
    LAST_RESORT_STALE: _ClassVar[LastResort]
    LAST_RESORT_DEFERRED: _ClassVar[LastResort]
    LAST_RESORT_STATIC: _ClassVar[LastResort]

class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_UNSPECIFIED: _ClassVar[Source]
    SOURCE_UPSTREAM: _ClassVar[Source]
    SOURCE_CACHE_EXACT: _ClassVar[Source]
    SOURCE_CACHE_SEMANTIC: _ClassVar[Source]
    SOURCE_CACHE_STALE: _ClassVar[Source]
    SOURCE_COALESCED: _ClassVar[Source]
    SOURCE_STATIC: _ClassVar[Source]
    SOURCE_DEFERRED: _ClassVar[Source]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_INTERACTIVE: Priority
PRIORITY_BATCH: Priority
LAST_RESORT_UNSPECIFIED: LastResort
LAST_RESORT_STALE: LastResort
LAST_RESORT_DEFERRED: LastResort
LAST_RESORT_STATIC: LastResort
SOURCE_UNSPECIFIED: Source
SOURCE_UPSTREAM: Source
SOURCE_CACHE_EXACT: Source
SOURCE_CACHE_SEMANTIC: Source
SOURCE_CACHE_STALE: Source
SOURCE_COALESCED: Source
SOURCE_STATIC: Source
SOURCE_DEFERRED: Source

class GenerateRequest(_message.Message):
    __slots__ = ("model", "prompt", "messages", "system", "system_blocks", "max_tokens", "stop_sequences", "tools", "tool_choice", "thinking", "output_schema", "cache", "fallback", "priority", "max_cost_nano_usd", "max_input_tokens", "tenant", "labels", "extra")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STOP_SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CHOICE_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    MAX_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    model: str
    prompt: str
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    system: str
    system_blocks: _containers.RepeatedCompositeFieldContainer[_content_pb2.ContentBlock]
    max_tokens: int
    stop_sequences: _containers.RepeatedScalarFieldContainer[str]
    tools: _containers.RepeatedCompositeFieldContainer[Tool]
    tool_choice: ToolChoice
    thinking: Thinking
    output_schema: _struct_pb2.Struct
    cache: CachePolicy
    fallback: FallbackPolicy
    priority: Priority
    max_cost_nano_usd: int
    max_input_tokens: int
    tenant: str
    labels: _containers.ScalarMap[str, str]
    extra: _struct_pb2.Struct
    def __init__(self, model: _Optional[str] = ..., prompt: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping]]] = ..., system: _Optional[str] = ..., system_blocks: _Optional[_Iterable[_Union[_content_pb2.ContentBlock, _Mapping]]] = ..., max_tokens: _Optional[int] = ..., stop_sequences: _Optional[_Iterable[str]] = ..., tools: _Optional[_Iterable[_Union[Tool, _Mapping]]] = ..., tool_choice: _Optional[_Union[ToolChoice, _Mapping]] = ..., thinking: _Optional[_Union[Thinking, _Mapping]] = ..., output_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., cache: _Optional[_Union[CachePolicy, _Mapping]] = ..., fallback: _Optional[_Union[FallbackPolicy, _Mapping]] = ..., priority: _Optional[_Union[Priority, str]] = ..., max_cost_nano_usd: _Optional[int] = ..., max_input_tokens: _Optional[int] = ..., tenant: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., extra: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Tool(_message.Message):
    __slots__ = ("name", "description", "input_schema", "cache_control", "extra", "raw")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    CACHE_CONTROL_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    input_schema: _struct_pb2.Struct
    cache_control: _content_pb2.CacheControl
    extra: _struct_pb2.Struct
    raw: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., input_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., cache_control: _Optional[_Union[_content_pb2.CacheControl, _Mapping]] = ..., extra: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., raw: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ToolChoice(_message.Message):
    __slots__ = ("mode", "name", "disable_parallel_tool_use")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_UNSPECIFIED: _ClassVar[ToolChoice.Mode]
        MODE_AUTO: _ClassVar[ToolChoice.Mode]
        MODE_ANY: _ClassVar[ToolChoice.Mode]
        MODE_TOOL: _ClassVar[ToolChoice.Mode]
        MODE_NONE: _ClassVar[ToolChoice.Mode]
    MODE_UNSPECIFIED: ToolChoice.Mode
    MODE_AUTO: ToolChoice.Mode
    MODE_ANY: ToolChoice.Mode
    MODE_TOOL: ToolChoice.Mode
    MODE_NONE: ToolChoice.Mode
    MODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISABLE_PARALLEL_TOOL_USE_FIELD_NUMBER: _ClassVar[int]
    mode: ToolChoice.Mode
    name: str
    disable_parallel_tool_use: bool
    def __init__(self, mode: _Optional[_Union[ToolChoice.Mode, str]] = ..., name: _Optional[str] = ..., disable_parallel_tool_use: _Optional[bool] = ...) -> None: ...

class Thinking(_message.Message):
    __slots__ = ("mode", "budget_tokens", "display")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_UNSPECIFIED: _ClassVar[Thinking.Mode]
        MODE_ADAPTIVE: _ClassVar[Thinking.Mode]
        MODE_ENABLED: _ClassVar[Thinking.Mode]
        MODE_DISABLED: _ClassVar[Thinking.Mode]
        MODE_BETWEEN_TOOLS: _ClassVar[Thinking.Mode]
    MODE_UNSPECIFIED: Thinking.Mode
    MODE_ADAPTIVE: Thinking.Mode
    MODE_ENABLED: Thinking.Mode
    MODE_DISABLED: Thinking.Mode
    MODE_BETWEEN_TOOLS: Thinking.Mode
    MODE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_FIELD_NUMBER: _ClassVar[int]
    mode: Thinking.Mode
    budget_tokens: int
    display: str
    def __init__(self, mode: _Optional[_Union[Thinking.Mode, str]] = ..., budget_tokens: _Optional[int] = ..., display: _Optional[str] = ...) -> None: ...

class CachePolicy(_message.Message):
    __slots__ = ("mode", "ttl", "namespace")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_UNSPECIFIED: _ClassVar[CachePolicy.Mode]
        MODE_DEFAULT: _ClassVar[CachePolicy.Mode]
        MODE_BYPASS: _ClassVar[CachePolicy.Mode]
        MODE_REFRESH: _ClassVar[CachePolicy.Mode]
        MODE_ONLY: _ClassVar[CachePolicy.Mode]
    MODE_UNSPECIFIED: CachePolicy.Mode
    MODE_DEFAULT: CachePolicy.Mode
    MODE_BYPASS: CachePolicy.Mode
    MODE_REFRESH: CachePolicy.Mode
    MODE_ONLY: CachePolicy.Mode
    MODE_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    mode: CachePolicy.Mode
    ttl: _duration_pb2.Duration
    namespace: str
    def __init__(self, mode: _Optional[_Union[CachePolicy.Mode, str]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., namespace: _Optional[str] = ...) -> None: ...

class FallbackPolicy(_message.Message):
    __slots__ = ("last_resorts", "continue_stream")
    LAST_RESORTS_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_STREAM_FIELD_NUMBER: _ClassVar[int]
    last_resorts: _containers.RepeatedScalarFieldContainer[LastResort]
    continue_stream: bool
    def __init__(self, last_resorts: _Optional[_Iterable[_Union[LastResort, str]]] = ..., continue_stream: _Optional[bool] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("request_id", "content", "text", "output_json", "stop_reason", "stop_sequence", "model", "target", "source", "degraded", "attempts", "usage", "cost_nano_usd", "timings", "message_id", "upstream_request_id", "extra", "age", "deferred_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    STOP_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    DEFERRED_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    content: _containers.RepeatedCompositeFieldContainer[_content_pb2.ContentBlock]
    text: str
    output_json: str
    stop_reason: str
    stop_sequence: str
    model: str
    target: str
    source: Source
    degraded: bool
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    usage: _usage_pb2.Usage
    cost_nano_usd: int
    timings: Timings
    message_id: str
    upstream_request_id: str
    extra: _struct_pb2.Struct
    age: _duration_pb2.Duration
    deferred_id: str
    def __init__(self, request_id: _Optional[str] = ..., content: _Optional[_Iterable[_Union[_content_pb2.ContentBlock, _Mapping]]] = ..., text: _Optional[str] = ..., output_json: _Optional[str] = ..., stop_reason: _Optional[str] = ..., stop_sequence: _Optional[str] = ..., model: _Optional[str] = ..., target: _Optional[str] = ..., source: _Optional[_Union[Source, str]] = ..., degraded: _Optional[bool] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., cost_nano_usd: _Optional[int] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., message_id: _Optional[str] = ..., upstream_request_id: _Optional[str] = ..., extra: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., deferred_id: _Optional[str] = ...) -> None: ...

class StreamGenerateResponse(_message.Message):
    __slots__ = ("events", "response")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_stream_pb2.StreamEvent]
    response: GenerateResponse
    def __init__(self, events: _Optional[_Iterable[_Union[_stream_pb2.StreamEvent, _Mapping]]] = ..., response: _Optional[_Union[GenerateResponse, _Mapping]] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("number", "target", "outcome", "error", "duration")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[Attempt.Outcome]
        OUTCOME_ANSWERED: _ClassVar[Attempt.Outcome]
        OUTCOME_FAILED: _ClassVar[Attempt.Outcome]
        OUTCOME_SKIPPED: _ClassVar[Attempt.Outcome]
    OUTCOME_UNSPECIFIED: Attempt.Outcome
    OUTCOME_ANSWERED: Attempt.Outcome
    OUTCOME_FAILED: Attempt.Outcome
    OUTCOME_SKIPPED: Attempt.Outcome
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    number: int
    target: str
    outcome: Attempt.Outcome
    error: str
    duration: _duration_pb2.Duration
    def __init__(self, number: _Optional[int] = ..., target: _Optional[str] = ..., outcome: _Optional[_Union[Attempt.Outcome, str]] = ..., error: _Optional[str] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("first_event", "total", "queued")
    FIRST_EVENT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    first_event: _duration_pb2.Duration
    total: _duration_pb2.Duration
    queued: _duration_pb2.Duration
    def __init__(self, first_event: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., queued: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CountTokensRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: GenerateRequest
    def __init__(self, request: _Optional[_Union[GenerateRequest, _Mapping]] = ...) -> None: ...

class CountTokensResponse(_message.Message):
    __slots__ = ("input_tokens", "target")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    target: str
    def __init__(self, input_tokens: _Optional[int] = ..., target: _Optional[str] = ...) -> None: ...
