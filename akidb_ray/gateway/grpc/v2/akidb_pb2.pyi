from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VectorFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VECTOR_FORMAT_VALUES: _ClassVar[VectorFormat]
    VECTOR_FORMAT_FLOAT32: _ClassVar[VectorFormat]

class UpsertMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UPSERT_MODE_UPSERT: _ClassVar[UpsertMode]
    UPSERT_MODE_INSERT: _ClassVar[UpsertMode]
    UPSERT_MODE_UPDATE: _ClassVar[UpsertMode]

class Durability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_FSYNC: _ClassVar[Durability]
    DURABILITY_BUFFERED: _ClassVar[Durability]

class SearchMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEARCH_MODE_VECTOR: _ClassVar[SearchMode]
    SEARCH_MODE_KEYWORD: _ClassVar[SearchMode]
    SEARCH_MODE_HYBRID: _ClassVar[SearchMode]

class FusionMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FUSION_METHOD_RRF: _ClassVar[FusionMethod]
    FUSION_METHOD_WEIGHTED: _ClassVar[FusionMethod]
VECTOR_FORMAT_VALUES: VectorFormat
VECTOR_FORMAT_FLOAT32: VectorFormat
UPSERT_MODE_UPSERT: UpsertMode
UPSERT_MODE_INSERT: UpsertMode
UPSERT_MODE_UPDATE: UpsertMode
DURABILITY_FSYNC: Durability
DURABILITY_BUFFERED: Durability
SEARCH_MODE_VECTOR: SearchMode
SEARCH_MODE_KEYWORD: SearchMode
SEARCH_MODE_HYBRID: SearchMode
FUSION_METHOD_RRF: FusionMethod
FUSION_METHOD_WEIGHTED: FusionMethod

class Vector(_message.Message):
    __slots__ = ("float32", "values")
    FLOAT32_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    float32: bytes
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, float32: _Optional[bytes] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class NewDocument(_message.Message):
    __slots__ = ("id", "vector", "text", "payload", "expires_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    vector: Vector
    text: str
    payload: str
    expires_at: float
    def __init__(self, id: _Optional[str] = ..., vector: _Optional[_Union[Vector, _Mapping]] = ..., text: _Optional[str] = ..., payload: _Optional[str] = ..., expires_at: _Optional[float] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("id", "version", "vector", "text", "payload", "expires_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    vector: Vector
    text: str
    payload: str
    expires_at: float
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., vector: _Optional[_Union[Vector, _Mapping]] = ..., text: _Optional[str] = ..., payload: _Optional[str] = ..., expires_at: _Optional[float] = ...) -> None: ...

class WriteOptions(_message.Message):
    __slots__ = ("durability", "idempotency_key", "if_versions", "only_if")
    class IfVersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    IF_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ONLY_IF_FIELD_NUMBER: _ClassVar[int]
    durability: Durability
    idempotency_key: str
    if_versions: _containers.ScalarMap[str, int]
    only_if: str
    def __init__(self, durability: _Optional[_Union[Durability, str]] = ..., idempotency_key: _Optional[str] = ..., if_versions: _Optional[_Mapping[str, int]] = ..., only_if: _Optional[str] = ...) -> None: ...

class UpsertRequest(_message.Message):
    __slots__ = ("tenant", "database", "collection", "documents", "mode", "options")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    database: str
    collection: str
    documents: _containers.RepeatedCompositeFieldContainer[NewDocument]
    mode: UpsertMode
    options: WriteOptions
    def __init__(self, tenant: _Optional[str] = ..., database: _Optional[str] = ..., collection: _Optional[str] = ..., documents: _Optional[_Iterable[_Union[NewDocument, _Mapping]]] = ..., mode: _Optional[_Union[UpsertMode, str]] = ..., options: _Optional[_Union[WriteOptions, _Mapping]] = ...) -> None: ...

class UpsertResponse(_message.Message):
    __slots__ = ("acknowledged", "skipped", "version", "truncated_ids")
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_IDS_FIELD_NUMBER: _ClassVar[int]
    acknowledged: int
    skipped: int
    version: str
    truncated_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, acknowledged: _Optional[int] = ..., skipped: _Optional[int] = ..., version: _Optional[str] = ..., truncated_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class PatchRequest(_message.Message):
    __slots__ = ("tenant", "database", "collection", "ids", "filter", "set", "unset", "replace", "expires_at", "options")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    UNSET_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    database: str
    collection: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    filter: str
    set: str
    unset: _containers.RepeatedScalarFieldContainer[str]
    replace: bool
    expires_at: float
    options: WriteOptions
    def __init__(self, tenant: _Optional[str] = ..., database: _Optional[str] = ..., collection: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ..., filter: _Optional[str] = ..., set: _Optional[str] = ..., unset: _Optional[_Iterable[str]] = ..., replace: _Optional[bool] = ..., expires_at: _Optional[float] = ..., options: _Optional[_Union[WriteOptions, _Mapping]] = ...) -> None: ...

class PatchResponse(_message.Message):
    __slots__ = ("patched", "skipped", "version")
    PATCHED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    patched: int
    skipped: int
    version: str
    def __init__(self, patched: _Optional[int] = ..., skipped: _Optional[int] = ..., version: _Optional[str] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("tenant", "database", "collection", "ids", "filter", "options")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    database: str
    collection: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    filter: str
    options: WriteOptions
    def __init__(self, tenant: _Optional[str] = ..., database: _Optional[str] = ..., collection: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ..., filter: _Optional[str] = ..., options: _Optional[_Union[WriteOptions, _Mapping]] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("deleted", "skipped", "version")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    skipped: int
    version: str
    def __init__(self, deleted: _Optional[int] = ..., skipped: _Optional[int] = ..., version: _Optional[str] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("tenant", "database", "collection", "ids", "with_vector", "vector_format", "min_version")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTOR_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FORMAT_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    database: str
    collection: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    with_vector: bool
    vector_format: VectorFormat
    min_version: str
    def __init__(self, tenant: _Optional[str] = ..., database: _Optional[str] = ..., collection: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ..., with_vector: _Optional[bool] = ..., vector_format: _Optional[_Union[VectorFormat, str]] = ..., min_version: _Optional[str] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("documents",)
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    def __init__(self, documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ...) -> None: ...

class ScrollRequest(_message.Message):
    __slots__ = ("tenant", "database", "collection", "filter", "limit", "cursor", "with_payload", "with_vector", "vector_format", "min_version")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    WITH_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTOR_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FORMAT_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    database: str
    collection: str
    filter: str
    limit: int
    cursor: str
    with_payload: bool
    with_vector: bool
    vector_format: VectorFormat
    min_version: str
    def __init__(self, tenant: _Optional[str] = ..., database: _Optional[str] = ..., collection: _Optional[str] = ..., filter: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ..., with_payload: _Optional[bool] = ..., with_vector: _Optional[bool] = ..., vector_format: _Optional[_Union[VectorFormat, str]] = ..., min_version: _Optional[str] = ...) -> None: ...

class ScrollResponse(_message.Message):
    __slots__ = ("documents", "next_cursor")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    next_cursor: str
    def __init__(self, documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("tenant", "database", "collection", "filter", "min_version")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    database: str
    collection: str
    filter: str
    min_version: str
    def __init__(self, tenant: _Optional[str] = ..., database: _Optional[str] = ..., collection: _Optional[str] = ..., filter: _Optional[str] = ..., min_version: _Optional[str] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class Fusion(_message.Message):
    __slots__ = ("method", "k", "weights")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    method: FusionMethod
    k: int
    weights: FusionWeights
    def __init__(self, method: _Optional[_Union[FusionMethod, str]] = ..., k: _Optional[int] = ..., weights: _Optional[_Union[FusionWeights, _Mapping]] = ...) -> None: ...

class FusionWeights(_message.Message):
    __slots__ = ("vector", "text")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    vector: float
    text: float
    def __init__(self, vector: _Optional[float] = ..., text: _Optional[float] = ...) -> None: ...

class SearchParams(_message.Message):
    __slots__ = ("ef", "exact")
    EF_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    ef: int
    exact: bool
    def __init__(self, ef: _Optional[int] = ..., exact: _Optional[bool] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("tenant", "database", "collection", "vector", "text", "id", "mode", "fusion", "filter", "limit", "offset", "score_threshold", "with_payload", "with_vector", "vector_format", "params", "explain", "min_version", "partial_results")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    FUSION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SCORE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    WITH_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTOR_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FORMAT_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_RESULTS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    database: str
    collection: str
    vector: Vector
    text: str
    id: str
    mode: SearchMode
    fusion: Fusion
    filter: str
    limit: int
    offset: int
    score_threshold: float
    with_payload: bool
    with_vector: bool
    vector_format: VectorFormat
    params: SearchParams
    explain: bool
    min_version: str
    partial_results: bool
    def __init__(self, tenant: _Optional[str] = ..., database: _Optional[str] = ..., collection: _Optional[str] = ..., vector: _Optional[_Union[Vector, _Mapping]] = ..., text: _Optional[str] = ..., id: _Optional[str] = ..., mode: _Optional[_Union[SearchMode, str]] = ..., fusion: _Optional[_Union[Fusion, _Mapping]] = ..., filter: _Optional[str] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., score_threshold: _Optional[float] = ..., with_payload: _Optional[bool] = ..., with_vector: _Optional[bool] = ..., vector_format: _Optional[_Union[VectorFormat, str]] = ..., params: _Optional[_Union[SearchParams, _Mapping]] = ..., explain: _Optional[bool] = ..., min_version: _Optional[str] = ..., partial_results: _Optional[bool] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("id", "score", "version", "vector", "text", "payload")
    ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    id: str
    score: float
    version: int
    vector: Vector
    text: str
    payload: str
    def __init__(self, id: _Optional[str] = ..., score: _Optional[float] = ..., version: _Optional[int] = ..., vector: _Optional[_Union[Vector, _Mapping]] = ..., text: _Optional[str] = ..., payload: _Optional[str] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("results", "missing_shards", "explanation", "took_ms")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MISSING_SHARDS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[Hit]
    missing_shards: _containers.RepeatedScalarFieldContainer[int]
    explanation: _containers.RepeatedCompositeFieldContainer[ShardExplanation]
    took_ms: float
    def __init__(self, results: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., missing_shards: _Optional[_Iterable[int]] = ..., explanation: _Optional[_Iterable[_Union[ShardExplanation, _Mapping]]] = ..., took_ms: _Optional[float] = ...) -> None: ...

class ShardExplanation(_message.Message):
    __slots__ = ("shard", "took_ms", "segments")
    class TookMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SHARD_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    shard: int
    took_ms: _containers.ScalarMap[str, float]
    segments: _containers.RepeatedCompositeFieldContainer[SegmentPlan]
    def __init__(self, shard: _Optional[int] = ..., took_ms: _Optional[_Mapping[str, float]] = ..., segments: _Optional[_Iterable[_Union[SegmentPlan, _Mapping]]] = ...) -> None: ...

class SegmentPlan(_message.Message):
    __slots__ = ("rows", "allowed", "way", "candidates", "widened", "took_ms")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    WAY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    WIDENED_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    allowed: int
    way: str
    candidates: int
    widened: int
    took_ms: float
    def __init__(self, rows: _Optional[int] = ..., allowed: _Optional[int] = ..., way: _Optional[str] = ..., candidates: _Optional[int] = ..., widened: _Optional[int] = ..., took_ms: _Optional[float] = ...) -> None: ...

class BatchSearchRequest(_message.Message):
    __slots__ = ("tenant", "database", "collection", "searches")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SEARCHES_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    database: str
    collection: str
    searches: _containers.RepeatedCompositeFieldContainer[SearchRequest]
    def __init__(self, tenant: _Optional[str] = ..., database: _Optional[str] = ..., collection: _Optional[str] = ..., searches: _Optional[_Iterable[_Union[SearchRequest, _Mapping]]] = ...) -> None: ...

class BatchSearchResponse(_message.Message):
    __slots__ = ("results", "took_ms")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchSearchResult]
    took_ms: float
    def __init__(self, results: _Optional[_Iterable[_Union[BatchSearchResult, _Mapping]]] = ..., took_ms: _Optional[float] = ...) -> None: ...

class BatchSearchResult(_message.Message):
    __slots__ = ("found", "error")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    found: SearchResponse
    error: _status_pb2.Status
    def __init__(self, found: _Optional[_Union[SearchResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class SearchGroupsRequest(_message.Message):
    __slots__ = ("tenant", "database", "collection", "vector", "text", "id", "mode", "filter", "key", "limit", "size", "with_payload", "with_vector", "vector_format", "params", "min_version", "partial_results")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    WITH_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTOR_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FORMAT_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_RESULTS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    database: str
    collection: str
    vector: Vector
    text: str
    id: str
    mode: SearchMode
    filter: str
    key: str
    limit: int
    size: int
    with_payload: bool
    with_vector: bool
    vector_format: VectorFormat
    params: SearchParams
    min_version: str
    partial_results: bool
    def __init__(self, tenant: _Optional[str] = ..., database: _Optional[str] = ..., collection: _Optional[str] = ..., vector: _Optional[_Union[Vector, _Mapping]] = ..., text: _Optional[str] = ..., id: _Optional[str] = ..., mode: _Optional[_Union[SearchMode, str]] = ..., filter: _Optional[str] = ..., key: _Optional[str] = ..., limit: _Optional[int] = ..., size: _Optional[int] = ..., with_payload: _Optional[bool] = ..., with_vector: _Optional[bool] = ..., vector_format: _Optional[_Union[VectorFormat, str]] = ..., params: _Optional[_Union[SearchParams, _Mapping]] = ..., min_version: _Optional[str] = ..., partial_results: _Optional[bool] = ...) -> None: ...

class SearchGroupsResponse(_message.Message):
    __slots__ = ("groups", "missing_shards", "took_ms")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    MISSING_SHARDS_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    missing_shards: _containers.RepeatedScalarFieldContainer[int]
    took_ms: float
    def __init__(self, groups: _Optional[_Iterable[_Union[Group, _Mapping]]] = ..., missing_shards: _Optional[_Iterable[int]] = ..., took_ms: _Optional[float] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("value", "results")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    value: str
    results: _containers.RepeatedCompositeFieldContainer[Hit]
    def __init__(self, value: _Optional[str] = ..., results: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ...) -> None: ...

class FacetsRequest(_message.Message):
    __slots__ = ("tenant", "database", "collection", "key", "limit", "filter", "min_version")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    database: str
    collection: str
    key: str
    limit: int
    filter: str
    min_version: str
    def __init__(self, tenant: _Optional[str] = ..., database: _Optional[str] = ..., collection: _Optional[str] = ..., key: _Optional[str] = ..., limit: _Optional[int] = ..., filter: _Optional[str] = ..., min_version: _Optional[str] = ...) -> None: ...

class FacetsResponse(_message.Message):
    __slots__ = ("facets", "exact", "took_ms")
    FACETS_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    facets: _containers.RepeatedCompositeFieldContainer[Facet]
    exact: bool
    took_ms: float
    def __init__(self, facets: _Optional[_Iterable[_Union[Facet, _Mapping]]] = ..., exact: _Optional[bool] = ..., took_ms: _Optional[float] = ...) -> None: ...

class Facet(_message.Message):
    __slots__ = ("value", "count")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    value: str
    count: int
    def __init__(self, value: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("model", "texts", "vector_format")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FORMAT_FIELD_NUMBER: _ClassVar[int]
    model: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    vector_format: VectorFormat
    def __init__(self, model: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., vector_format: _Optional[_Union[VectorFormat, str]] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("vectors", "truncated")
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    vectors: _containers.RepeatedCompositeFieldContainer[Vector]
    truncated: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, vectors: _Optional[_Iterable[_Union[Vector, _Mapping]]] = ..., truncated: _Optional[_Iterable[int]] = ...) -> None: ...
