"""Near-duplicates: the hash by hand, the search against comparing all pairs."""

import itertools

import numpy as np
from PIL import Image

from training.data.lookalikes import clusters, frame_hash, near_duplicates, video_hash


def test_hash_of_ramps():
    falling = np.tile(np.linspace(255, 0, 90).astype(np.uint8), (80, 1))
    assert frame_hash(Image.fromarray(falling)) == "f" * 16
    assert frame_hash(Image.fromarray(falling[:, ::-1])) == "0" * 16
    half = np.concatenate([falling[:40], falling[40:, ::-1]])
    assert frame_hash(Image.fromarray(half)) == "f" * 8 + "0" * 8


def test_video_hash_takes_a_quarter_a_half_and_three_quarters():
    hashes = [f"{number:016x}" for number in range(8)]
    assert video_hash(hashes) == hashes[2] + hashes[4] + hashes[6]
    assert video_hash(hashes[:1]) == hashes[0] * 3


def test_search_finds_what_comparing_all_pairs_finds():
    generator = np.random.default_rng(0)
    hashes = {}
    for number in range(120):
        bits = generator.integers(0, 2, 192)
        for copy, flips in enumerate(generator.integers(0, 20, 3)):
            changed = bits.copy()
            changed[generator.choice(192, flips, replace=False)] ^= 1
            hashes[f"{number}-{copy}"] = np.packbits(changed).tobytes().hex()
    bits = {path: int(hashed, 16) for path, hashed in hashes.items()}
    pairs = itertools.combinations(hashes, 2)
    near = [(a, b) for a, b in pairs if (bits[a] ^ bits[b]).bit_count() <= 11]
    assert len(near) > 30
    found = near_duplicates(hashes)
    assert clusters(list(hashes), found) == clusters(list(hashes), near)
    assert len(found) == len(hashes) - len(set(clusters(list(hashes), near).values()))


def test_equal_hashes_are_near():
    hashes = {"b": "0" * 48, "a": "0" * 48, "c": "f" * 48, "d": "0" * 48}
    assert near_duplicates(hashes) == [("a", "b"), ("b", "d")]
    assert near_duplicates({}) == []


def test_many_equal_and_many_dark_videos():
    generator = np.random.default_rng(0)
    hashes = {f"equal-{number}": "0" * 48 for number in range(20_000)}
    hashes |= {f"dark-{number}": "f" * 32 + generator.bytes(8).hex() for number in range(1_000)}
    assert near_duplicates(hashes) == list(itertools.pairwise(sorted(hashes)[1_000:]))


def test_clusters_join_chains():
    found = clusters(["e", "d", "c", "b", "a"], [("a", "b"), ("b", "d")])
    assert found == {"a": "a", "b": "a", "d": "a", "c": "c", "e": "e"}
    assert clusters(["x"], []) == {"x": "x"}
