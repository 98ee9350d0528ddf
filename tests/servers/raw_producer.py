"""Records that no Python client would send: header names of any bytes, by librdkafka's C functions."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka

FLUSH_TIMEOUT_MS = 10_000

# Source: rd_kafka_vtype_t and RD_KAFKA_MSG_F_COPY in librdkafka's rdkafka.h.
_END, _TOPIC, _PARTITION, _VALUE, _FLAGS, _HEADERS = 0, 1, 3, 4, 7, 10
_COPY = 2
_PRODUCER = 0


def send_raw(
    bootstrap_servers: str, topic: str, partition: int, value: bytes, headers: Sequence[tuple[bytes, bytes]]
) -> None:
    """Send one record and wait until it is there."""
    library = _library()
    error = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(conf, b"bootstrap.servers", bootstrap_servers.encode(), error, len(error))
    producer = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, conf, error, len(error)))
    assert producer.value, error.value
    attached = ctypes.c_void_p(library.rd_kafka_headers_new(len(headers)))
    for name, content in headers:
        sizes = ctypes.c_ssize_t(len(name)), ctypes.c_ssize_t(len(content))
        library.rd_kafka_header_add(attached, name, sizes[0], content, sizes[1])
    try:
        # What rd_kafka_producev takes is a list of tagged arguments, ended by a zero.
        told = library.rd_kafka_producev(
            producer,
            *(_TOPIC, topic.encode()),
            *(_PARTITION, ctypes.c_int32(partition)),
            *(_VALUE, value, ctypes.c_size_t(len(value))),
            *(_FLAGS, ctypes.c_int(_COPY)),
            *(_HEADERS, attached),
            _END,
        )
        assert told == 0, f"librdkafka refused the record: {told}"
        assert library.rd_kafka_flush(producer, FLUSH_TIMEOUT_MS) == 0, "the record was not acknowledged"
    finally:
        library.rd_kafka_destroy(producer)


def _library() -> ctypes.CDLL:
    """Open the librdkafka of confluent-kafka's wheel."""
    (path,) = (Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka*")
    library = ctypes.CDLL(str(path))
    for function in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(library, function).restype = ctypes.c_void_p
    return library
