"""Decompresses bodies within bounds."""

import zlib

from fstcn_keras.serving.refusals import BadRequest, TooLarge, UnknownEncoding

_WINDOW = {"gzip": 31, "deflate": 15}  # zlib's numbers for their headers


def decompressed(body: bytes, encoding: str, most: int) -> bytes:
    """Returns the body as it was before its compression.

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
        TooLarge: if it has more bytes.
        BadRequest: if it is damaged.
    """
    window = _WINDOW.get(encoding.strip().lower())
    if window is None:
        raise UnknownEncoding("a body may be compressed by gzip or deflate, by nothing else")
    decoder = zlib.decompressobj(window)
    try:
        content = decoder.decompress(body, most + 1)
    except zlib.error as error:
        raise BadRequest("the compressed body is damaged") from error
    if len(content) > most:
        raise TooLarge(f"the body is longer than {most} bytes once it is decompressed")
    if not decoder.eof:
        raise BadRequest("the compressed body is cut")
    return content
