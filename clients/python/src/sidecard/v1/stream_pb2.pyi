from google.protobuf import struct_pb2 as _struct_pb2
from sidecard.v1 import content_pb2 as _content_pb2
from sidecard.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamEvent(_message.Message):
    __slots__ = ("index", "started", "block_started", "text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citation_delta", "raw_delta", "raw_delta_json", "block_stopped", "usage", "finished", "continued", "restarted", "output_verdict")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    BLOCK_STARTED_FIELD_NUMBER: _ClassVar[int]
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    THINKING_DELTA_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_DELTA_FIELD_NUMBER: _ClassVar[int]
    INPUT_JSON_DELTA_FIELD_NUMBER: _ClassVar[int]
    CITATION_DELTA_FIELD_NUMBER: _ClassVar[int]
    RAW_DELTA_FIELD_NUMBER: _ClassVar[int]
    RAW_DELTA_JSON_FIELD_NUMBER: _ClassVar[int]
    BLOCK_STOPPED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    CONTINUED_FIELD_NUMBER: _ClassVar[int]
    RESTARTED_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_VERDICT_FIELD_NUMBER: _ClassVar[int]
    index: int
    started: Started
    block_started: _content_pb2.ContentBlock
    text_delta: str
    thinking_delta: str
    signature_delta: str
    input_json_delta: str
    citation_delta: _struct_pb2.Struct
    raw_delta: _struct_pb2.Struct
    raw_delta_json: str
    block_stopped: BlockStopped
    usage: _usage_pb2.Usage
    finished: Finished
    continued: Continued
    restarted: Restarted
    output_verdict: OutputVerdict
    def __init__(self, index: _Optional[int] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., block_started: _Optional[_Union[_content_pb2.ContentBlock, _Mapping]] = ..., text_delta: _Optional[str] = ..., thinking_delta: _Optional[str] = ..., signature_delta: _Optional[str] = ..., input_json_delta: _Optional[str] = ..., citation_delta: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., raw_delta: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., raw_delta_json: _Optional[str] = ..., block_stopped: _Optional[_Union[BlockStopped, _Mapping]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., continued: _Optional[_Union[Continued, _Mapping]] = ..., restarted: _Optional[_Union[Restarted, _Mapping]] = ..., output_verdict: _Optional[_Union[OutputVerdict, _Mapping]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("message_id", "model")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    model: str
    def __init__(self, message_id: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class BlockStopped(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Finished(_message.Message):
    __slots__ = ("stop_reason", "stop_sequence")
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    STOP_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    stop_reason: str
    stop_sequence: str
    def __init__(self, stop_reason: _Optional[str] = ..., stop_sequence: _Optional[str] = ...) -> None: ...

class Continued(_message.Message):
    __slots__ = ("from_target", "to_target", "error", "text_length")
    FROM_TARGET_FIELD_NUMBER: _ClassVar[int]
    TO_TARGET_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    from_target: str
    to_target: str
    error: str
    text_length: int
    def __init__(self, from_target: _Optional[str] = ..., to_target: _Optional[str] = ..., error: _Optional[str] = ..., text_length: _Optional[int] = ...) -> None: ...

class Restarted(_message.Message):
    __slots__ = ("from_target", "to_target", "error")
    FROM_TARGET_FIELD_NUMBER: _ClassVar[int]
    TO_TARGET_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    from_target: str
    to_target: str
    error: str
    def __init__(self, from_target: _Optional[str] = ..., to_target: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class OutputVerdict(_message.Message):
    __slots__ = ("valid", "violations")
    VALID_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    violations: _containers.RepeatedCompositeFieldContainer[OutputViolation]
    def __init__(self, valid: _Optional[bool] = ..., violations: _Optional[_Iterable[_Union[OutputViolation, _Mapping]]] = ...) -> None: ...

class OutputViolation(_message.Message):
    __slots__ = ("path", "description")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    path: str
    description: str
    def __init__(self, path: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...
