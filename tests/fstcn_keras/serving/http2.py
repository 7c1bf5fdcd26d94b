"""Calls over gRPC, byte by byte, as no client sends them."""

INFER, LIVE = (f"/inference.GRPCInferenceService/{name}" for name in ("ModelInfer", "ServerLive"))
MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PREFACE = MAGIC + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
FRAME = 16384  # bytes of data in one, at most


def http2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def http2_calls(method: str, number: int, data: bytes, *, end: bool, before: int = 0) -> bytes:
    """So many calls after others, each with the same data, and whether it is all; no preface."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "x",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(  # literal, not indexed
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in headers.items()
    )
    parts = [data[start : start + FRAME] for start in range(0, len(data), FRAME)]
    calls = []
    for stream in range(2 * before + 1, 2 * (before + number), 2):
        calls.append(http2_frame(1, 4, stream, block))
        calls += (http2_frame(0, 0, stream, part) for part in parts[:-1])
        calls.append(http2_frame(0, int(end), stream, parts[-1]))
    return b"".join(calls)


def half_calls(method: str, number: int) -> bytes:
    """A connection over HTTP/2 with so many calls, whose messages end half-way."""
    message = b"\0" + (1000).to_bytes(4, "big") + bytes(500)
    return PREFACE + http2_calls(method, number, message, end=False)


def calls_without_window(method: str, number: int, message: bytes = b"") -> bytes:
    """A connection with so many whole calls, whose client takes no byte of an answer."""
    window = (4).to_bytes(2, "big") + (0).to_bytes(4, "big")  # SETTINGS_INITIAL_WINDOW_SIZE
    preface = MAGIC + http2_frame(4, 0, 0, window)
    return preface + http2_calls(method, number, framed(message), end=True)


def framed(message: bytes) -> bytes:
    """A message as gRPC has it, not compressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message
