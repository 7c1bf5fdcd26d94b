"""Videos that look alike: a perceptual hash of three frames, compared without comparing all."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

FRAMES_HASHED = 3
HASH_STEP = 4  # only every fourth frame is considered, because hashing takes time
HASH_BITS = 64 * FRAMES_HASHED
MAX_DISTANCE = 11  # bits; with one band more than that, two near hashes share a band
_BANDS = 12


def frame_hash(image: Image.Image) -> str:
    """Difference hash of one frame: 64 bits as 16 hexadecimal digits.

    The frame is shrunk to 9x8 grey pixels; each bit tells whether a pixel is brighter than its
    right neighbour.
    """
    small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX))
    return np.packbits(small[:, :-1] > small[:, 1:]).tobytes().hex()


def video_hash(frame_hashes: Sequence[str]) -> str:
    """The hashes of the frames at a quarter, a half and three quarters of the video, joined."""
    count = len(frame_hashes)
    return "".join(frame_hashes[count * part // 4] for part in (1, 2, 3))


def near_duplicates(hashes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of videos whose hashes differ in at most `MAX_DISTANCE` of 192 bits.

    Hashes are cut into 12 bands of 16 bits; two that differ in 11 bits share at least one band,
    so only videos that share a band are compared, and no near pair is missed.

    Args:
        hashes: `video_hash` of each video, by path.

    Returns:
        Pairs of paths, each pair and the list sorted.
    """
    width = HASH_BITS // 4 // _BANDS  # hexadecimal digits of a band
    alike = defaultdict(list)
    for path in sorted(hashes):
        alike[hashes[path]].append(path)
    buckets = defaultdict(list)
    for value in alike:
        for band in range(_BANDS):
            buckets[band, value[band * width : (band + 1) * width]].append(value)
    pairs = {(a, b) for paths in alike.values() for a in paths for b in paths if a < b}
    for bucket in buckets.values():
        for number, one in enumerate(bucket):
            for other in bucket[number + 1 :]:
                if (int(one, 16) ^ int(other, 16)).bit_count() <= MAX_DISTANCE:
                    found = ((a, b) for a in alike[one] for b in alike[other])
                    pairs |= {(min(pair), max(pair)) for pair in found}
    return sorted(pairs)


def clusters(paths: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The name of each video's cluster: the first path of those that pairs connect."""
    parent = {path: path for path in paths}

    def first(path: str) -> str:
        while parent[path] != path:
            parent[path] = path = parent[parent[path]]
        return path

    for pair in pairs:
        one, other = sorted(map(first, pair))
        parent[other] = one
    return {path: first(path) for path in paths}
