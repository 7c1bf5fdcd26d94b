"""Decompresses bodies within bounds."""

import io
import zlib

from fstcn_keras.serving.refusals import BadRequest, TooLarge, UnknownEncoding

MAX_MEMBERS = 10_000  # of a gzip body: each takes time, however short it is
_WINDOW = {"gzip": 31, "deflate": 15}  # zlib's numbers for their headers
_GZIP_MAGIC = b"\x1f\x8b"
_PART = 2**16  # bytes at a time: what follows a member is copied


def decompressed(body: bytes, encoding: str, most: int) -> bytes:
    """Returns the body as it was before its compression.

    One by gzip may consist of several members (RFC 1952, section 2.2), one after another.

    Example:
        >>> import gzip
        >>> decompressed(gzip.compress(b"[1]"), "gzip", most=100)
        b'[1]'

    Args:
        body: as it came.
        encoding: what the header `Content-Encoding` says.
        most: bytes that it may have.

    Raises:
        UnknownEncoding: if it is neither `gzip` nor `deflate`.
        TooLarge: if it has more bytes, all its members together, or more than `MAX_MEMBERS`.
        BadRequest: if it is damaged, or something else follows it.
    """
    kind = encoding.strip().lower()
    if kind not in _WINDOW:
        raise UnknownEncoding("a body may be compressed by gzip or deflate, by nothing else")
    content, begin, members = io.BytesIO(), 0, 1
    decoder = zlib.decompressobj(_WINDOW[kind])
    while begin < len(body):
        if decoder.eof:
            if kind != "gzip" or not body.startswith(_GZIP_MAGIC, begin):
                raise BadRequest("something else follows the compressed body")
            decoder, members = zlib.decompressobj(_WINDOW[kind]), members + 1
        if members > MAX_MEMBERS:
            raise TooLarge(f"the body consists of more than {MAX_MEMBERS} gzip members")
        part = body[begin : begin + _PART]
        try:
            content.write(decoder.decompress(part, most + 1 - content.tell()))
        except zlib.error as error:
            raise BadRequest("the compressed body is damaged") from error
        if content.tell() > most:
            raise TooLarge(f"the body is longer than {most} bytes once it is decompressed")
        begin += len(part) - len(decoder.unused_data)
    if not decoder.eof:
        raise BadRequest("the compressed body is cut")
    return content.getvalue()
