"""Calls over gRPC, byte by byte, as no client sends them."""

INFER, LIVE = (f"/inference.GRPCInferenceService/{name}" for name in ("ModelInfer", "ServerLive"))
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def http2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def half_calls(method: str, number: int) -> bytes:
    """A connection over HTTP/2 with so many calls, whose messages end half-way."""
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
    message = b"\0" + (1000).to_bytes(4, "big") + bytes(500)
    calls = (
        http2_frame(1, 4, 2 * call + 1, block) + http2_frame(0, 0, 2 * call + 1, message)
        for call in range(number)
    )
    return PREFACE + b"".join(calls)
