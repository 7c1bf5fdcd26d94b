"""Videos that look alike: a perceptual hash of three frames, compared without comparing all."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

FRAMES_HASHED = 3
HASH_STEP = 4  # only every fourth frame is considered, because hashing takes time
HASH_BITS = 64 * FRAMES_HASHED
MAX_DISTANCE = 11  # bits; with one band more than that, two near hashes share a band


def frame_hash(image: Image.Image) -> str:
    """Returns the difference hash of one frame: 64 bits as 16 hexadecimal digits.

    The frame is shrunk to 9x8 grey pixels; each bit tells whether a pixel is brighter than its
    right neighbour.
    """
    small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX))
    return np.packbits(small[:, :-1] > small[:, 1:]).tobytes().hex()


def video_hash(frame_hashes: Sequence[str]) -> str:
    """Joins the hashes of the frames at a quarter, a half and three quarters of the video."""
    count = len(frame_hashes)
    return "".join(frame_hashes[count * part // 4] for part in (1, 2, 3))


def near_duplicates(hashes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Returns pairs of videos that tie all near-duplicates together.

    Two videos are near-duplicates if their hashes differ in at most `MAX_DISTANCE` of 192 bits.
    Hashes are cut into 12 bands of 16 bits; two that differ in 11 bits share at least one band,
    so only those that share a band are compared, and none is missed.

    Args:
        hashes: `video_hash` of each video, by path.

    Returns:
        Fewer pairs than videos: whatever near-duplicates lead from one video to another, the
        pairs do so, too.
    """
    alike = defaultdict(list)
    for path in sorted(hashes):
        alike[hashes[path]].append(path)
    pairs = [pair for paths in alike.values() for pair in itertools.pairwise(paths)]
    firsts = [paths[0] for paths in alike.values()]
    bits = np.frombuffer(bytes.fromhex("".join(alike)), np.uint8).reshape(-1, HASH_BITS // 8)
    label = np.arange(len(bits))  # equal for those that are tied
    words = bits.view(np.uint64)
    for one, other in _sharing_a_band(bits):
        apart = np.bitwise_count(words[one] ^ words[other]).sum(axis=1)
        new = (apart <= MAX_DISTANCE) & (label[one] != label[other])
        for a, b in zip(one[new], other[new], strict=True):
            if label[a] != label[b]:
                label[label == label[b]] = label[a]
                pairs.append((firsts[a], firsts[b]))
    return pairs


def _sharing_a_band(bits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields all pairs of rows of `(n, 24)` uint8 that share a band, as arrays of indices."""
    for band in bits.view(np.uint16).T:
        order = np.argsort(band, kind="stable")
        start = np.arange(len(order))
        for apart in range(1, len(order)):
            start = start[start < len(order) - apart]
            start = start[band[order[start]] == band[order[start + apart]]]
            if not len(start):
                break
            yield order[start], order[start + apart]


def clusters(paths: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Returns the name of each video's cluster: the first path of those that pairs connect."""
    parent = {path: path for path in paths}

    def first(path: str) -> str:
        while parent[path] != path:
            parent[path] = path = parent[parent[path]]
        return path

    for pair in pairs:
        one, other = sorted(map(first, pair))
        parent[other] = one
    return {path: first(path) for path in paths}
