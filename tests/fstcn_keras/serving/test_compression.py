"""Bodies that are compressed, without a server."""

import gzip
import random
import zlib

import pytest

from fstcn_keras.serving.compression import MAX_MEMBERS, decompressed
from fstcn_keras.serving.refusals import BadRequest, TooLarge

NOISE = random.Random(0).randbytes(200_000)  # longer than what is decompressed at a time
FIRST, SECOND = gzip.compress(b"first "), gzip.compress(b"second")


def test_members_of_gzip_are_one_body():
    assert decompressed(FIRST + SECOND, "gzip", most=12) == b"first second"
    assert decompressed(gzip.compress(b"") * 3 + FIRST, "gzip", most=6) == b"first "
    noise = gzip.compress(NOISE)
    assert decompressed(noise + FIRST + noise, "gzip", most=10**6) == NOISE + b"first " + NOISE


def test_the_limit_is_of_all_members_together():
    with pytest.raises(TooLarge, match="longer than 11 bytes once"):
        decompressed(FIRST + SECOND, "gzip", most=11)
    with pytest.raises(TooLarge, match="longer than 399999 bytes once"):
        decompressed(gzip.compress(NOISE) * 2, "gzip", most=399_999)


def test_their_number_is_limited():
    members = gzip.compress(b"a") * MAX_MEMBERS
    assert decompressed(members, "gzip", most=MAX_MEMBERS) == b"a" * MAX_MEMBERS
    with pytest.raises(TooLarge, match=f"more than {MAX_MEMBERS} gzip members"):
        decompressed(members + FIRST, "gzip", most=10**6)


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (FIRST + b"garbage", "gzip", "something else follows"),
        (FIRST + bytes(8), "gzip", "something else follows"),
        (zlib.compress(b"first ") * 2, "deflate", "something else follows"),
        (FIRST + SECOND[:-1], "gzip", "is cut"),
        (FIRST + SECOND[:2] + b"garbage", "gzip", "is damaged"),
        (b"", "gzip", "is cut"),
    ],
    ids=["garbage", "zeros", "deflate twice", "half a member", "magic alone", "nothing"],
)
def test_what_follows_and_is_no_member_is_refused(body, encoding, reason):
    with pytest.raises(BadRequest, match=reason):
        decompressed(body, encoding, most=100)
