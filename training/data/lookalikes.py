"""Videos that look alike: re-encoded, cropped or mirrored copies, found without comparing all.

A video's signature is `TIMES` small grey images of it. Their mean shows the place, what they differ
from it by shows what moves. Copies agree in both; different people before one background agree in
the first alone. A search takes two steps: difference hashes, of all cuts and mirror images of one
video against those of the other as it is, propose pairs; correlation confirms them.
"""

import base64
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

TIMES, SIDE = 6, 16  # images of a signature, and their pixels in a row
LOOK_STEP = 2  # frames are looked at among every second one alone
MAX_DISTANCE = 44  # bits of 192 between the hashes of a pair that is proposed
MIN_PLACE, MIN_MOTION = 0.88, 0.75  # correlations of a pair that is confirmed
NOISE = 1.0  # grey levels that an encoder may change in a signature's pixel
CUTS = (0.0, 0.05, 0.1)  # shares of width or height that one edge may lose
REFINEMENTS = (0.03, 0.015, 0.0075)  # steps in which the edges of a proposed cut are moved
ALIGNED_MOTION, STEEPNESS = 0.88, 6.0  # where places agree wholly, motions must agree as much
UNCUT = 0.01  # by which the places may agree less without a cut, so that there is none
WHOLE, MIRRORED = (0.0, 1.0, 0.0, 1.0), (1.0, 0.0, 0.0, 1.0)
MOTION_WEIGHT = 0.1  # of motion beside place when edges are moved: small, as others move likewise
CHUNK = 4096  # pairs compared at once
TABLE = 2**22  # pairs whose nearest cuts are kept at once, two bytes each
BAND = 2**18  # pairs of one band that are looked at at once
CROWD, CROWD_SHARE = 8, 0.5  # videos of a cluster that is too large for copies: both at least


def shrunk(image: Image.Image) -> np.ndarray:
    """Returns a frame as a signature has it: uint8 `(SIDE, SIDE)`, means of grey levels."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


class Looks:
    """Keeps the few frames of a video that its signature is made of, as they come.

    Args:
        claimed: the number of all frames, as far as it is known before they are read; 0 if not.
    """

    def __init__(self, claimed: int):
        # packed frames of XviD end with an empty one, which is claimed too
        wanted = {*looked_at(claimed), *looked_at(claimed - 1)}
        self._wanted = wanted if claimed else None
        self._frames: dict[int, Image.Image] = {}
        self._shrunk: dict[int, np.ndarray] = {}

    def look(self, number: int, image: Image.Image):
        """Keeps the frame with this number if the signature may need it."""
        if self._wanted is None:  # many frames: as small as they are needed
            if number % LOOK_STEP == 0:
                self._shrunk[number] = shrunk(image)
        elif number in self._wanted:
            self._frames[number] = image

    def signature(self, num_frames: int, select: Callable[[Sequence[int]], Iterable]) -> str:
        """Returns the video's signature.

        Args:
            num_frames: number of all its frames.
            select: gives the frames with these numbers again, uint8 `(height, width, 3)`: where
                others came than were claimed, some have not been kept.
        """
        numbers = looked_at(num_frames)
        found = {n: shrunk(self._frames[n]) for n in numbers if n in self._frames} | self._shrunk
        lacking = [number for number in numbers if number not in found]
        if lacking:
            for number, frame in zip(lacking, select(lacking), strict=True):
                found[number] = shrunk(Image.fromarray(frame))
        return signature(found, num_frames)


def looked_at(num_frames: int) -> list[int]:
    """Returns the numbers of the frames that a signature is made of, increasing."""
    if num_frames < 1:
        return []
    before, after, share = _middles(num_frames)
    return np.union1d(before, after[share > 0]).tolist()


def _middles(num_frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the frames next to the middles of `TIMES` equal parts, and the latter's shares."""
    last = (num_frames - 1) // LOOK_STEP
    middles = ((np.arange(TIMES) + 0.5) / TIMES * num_frames - 0.5) / LOOK_STEP
    middles = np.clip(middles, 0, last)
    before = np.floor(middles).astype(int)
    after = np.minimum(before + 1, last)
    return LOOK_STEP * before, LOOK_STEP * after, middles - before


def signature(images: Mapping[int, np.ndarray], num_frames: int) -> str:
    """Returns what is compared of a video, as text.

    Args:
        images: by number, those frames of it that are looked at, as `shrunk` returns them.
        num_frames: number of all its frames.

    Returns:
        Base 64 of uint8 `(TIMES, SIDE, SIDE)`: the video at the middles of equal parts of its
        time, between two frames in proportion, so that the rate of frames makes no difference.
    """
    mixed = [
        (1 - share) * images[one].astype(float) + (share and share * images[other].astype(float))
        for one, other, share in zip(*(part.tolist() for part in _middles(num_frames)), strict=True)
    ]
    return base64.b64encode(np.rint(mixed).astype(np.uint8).tobytes()).decode()


def copies(signatures: Mapping[str, str]) -> dict[str, str]:
    """Returns the name of each video's cluster of copies: the first path of them.

    One that spans most of the collection is of one place where little moves rather than of copies:
    of its videos only those of equal signatures are kept together, and a line says so.

    Args:
        signatures: of each video, by path.
    """
    paths = list(signatures)
    pairs = near_duplicates(signatures)
    found = clusters(paths, pairs)
    name, size = max(Counter(found.values()).items(), key=lambda item: item[1], default=("", 0))
    if size < CROWD or size <= CROWD_SHARE * len(paths):
        return found
    print(
        f"{size} of {len(paths)} videos look alike, e.g. {name}: too many for copies, so that they "
        "are not kept on one side; name their sources with --groups if they have any"
    )
    return clusters(
        paths,
        [(a, b) for a, b in pairs if found[a] != name or signatures[a] == signatures[b]],
    )


def near_duplicates(signatures: Mapping[str, str]) -> list[tuple[str, str]]:
    """Returns pairs of videos that tie all copies together.

    Args:
        signatures: of each video, by path.

    Returns:
        Fewer pairs than videos: whatever copies lead from one video to another, the pairs do so,
        too.
    """
    same = defaultdict(list)
    for path in sorted(signatures):
        same[signatures[path]].append(path)
    pairs = [pair for paths in same.values() for pair in itertools.pairwise(paths)]
    firsts = [paths[0] for paths in same.values()]
    if len(firsts) < 2:
        return pairs
    videos = np.frombuffer(b"".join(map(base64.b64decode, same)), np.uint8)
    videos = videos.reshape(-1, TIMES, SIDE, SIDE)
    label = np.arange(len(videos))  # equal for those that are tied
    for a, b in _tied(videos):
        if label[a] != label[b]:
            label[label == label[b]] = label[a]
            pairs.append((firsts[a], firsts[b]))
    return pairs


def _tied(videos: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields pairs of copies, of all cuts of one against the other as it is."""
    cuts = _cuts()
    for one, other, nearest in _proposed(videos, cuts):
        for start in range(0, len(one), CHUNK):
            chunk = slice(start, start + CHUNK)
            yield from _confirmed(videos, one[chunk], other[chunk], cuts[nearest[chunk]])


def _cuts() -> np.ndarray:
    """All ways to cut and mirror: left, right, top and bottom edge, shares of width or height.

    A mirrored one has its left edge right of its right one. The first is the whole image.
    """
    whole = [(x0, 1 - x1, y0, 1 - y1) for x0, x1, y0, y1 in itertools.product(CUTS, repeat=4)]
    return np.array(whole + [(x1, x0, y0, y1) for x0, x1, y0, y1 in whole])


def _resampling(start: np.ndarray, stop: np.ndarray, size: int) -> np.ndarray:
    """Matrices `(..., size, SIDE)` that average what lies between two edges, in `size` parts."""
    edges = start[..., None] + (stop - start)[..., None] * np.arange(size + 1) / size
    low = SIDE * np.minimum(edges[..., 1:], edges[..., :-1])[..., None]
    high = SIDE * np.maximum(edges[..., 1:], edges[..., :-1])[..., None]
    pixel = np.arange(SIDE)
    covered = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return (covered / covered.sum(axis=-1, keepdims=True)).astype(np.float32)


def _hashes(thirds: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Difference hashes of a cut of `(n, 3, SIDE, SIDE)`: uint8 `(n, 24)`.

    Each bit tells whether one of 9x8 pixels is brighter than its right neighbour.
    """
    x0, x1, y0, y1 = cut
    small = _resampling(y0, y1, 8) @ thirds @ _resampling(x0, x1, 9).T  # (n, 3, 8, 9)
    return np.packbits((small[..., :-1] > small[..., 1:]).reshape(len(thirds), -1), axis=1)


def _proposed(
    videos: np.ndarray, cuts: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Proposes pairs of videos, and the cut of the first that is most like the second.

    Yields:
        Indices of the two videos and of the cut, `(pairs,)` each, of some first videos at a time:
        where all show one place, nearly all pairs are proposed, by most cuts and bands.
    """
    thirds = videos.reshape(len(videos), 3, -1, SIDE, SIDE).mean(axis=2, dtype=np.float32)
    plain = _hashes(thirds, cuts[0])
    none = np.iinfo(np.uint16).max
    for start in range(0, len(videos), step := max(1, TABLE // len(videos))):
        firsts = thirds[start : start + step]
        best = np.full((len(firsts), len(videos)), none)  # distance * cuts + cut
        for number, cut in enumerate(cuts):
            hashes = _hashes(firsts, cut)
            for one, other in _sharing_a_band(hashes, plain):
                apart = _distances(hashes[one], plain[other])
                near = (apart <= MAX_DISTANCE) & (start + one != other)
                pair = one[near], other[near]
                best[pair] = np.minimum(best[pair], apart[near] * len(cuts) + number)
        one, other = np.nonzero(best < none)
        yield start + one, other, best[one, other] % len(cuts)


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits in which hashes `(pairs, 24)` differ."""
    words = one.view(np.uint64) ^ other.view(np.uint64)
    return np.bitwise_count(words).sum(axis=1, dtype=np.uint16)


def _sharing_a_band(hashes: np.ndarray, plain: np.ndarray) -> Iterator[tuple]:
    """Yields pairs of rows of two `(n, 24)` uint8 that share a band of 16 bits, as indices."""
    for ours, theirs in zip(hashes.view(np.uint16).T, plain.view(np.uint16).T, strict=True):
        order = np.argsort(theirs, kind="stable")
        theirs = theirs[order]
        first = np.searchsorted(theirs, ours, "left")
        ends = np.cumsum(np.searchsorted(theirs, ours, "right") - first)
        for start in range(0, ends[-1], BAND):
            number = np.arange(start, min(start + BAND, ends[-1]))  # of the pair
            one = np.searchsorted(ends, number, "right")
            yield one, order[first[one] + number - np.append(0, ends)[one]]


def _confirmed(
    videos: np.ndarray, one: np.ndarray, other: np.ndarray, cuts: np.ndarray
) -> Iterator[tuple[int, int]]:
    """Yields those of the proposed pairs whose place and motion agree, after moving the cuts.

    Where the places agree as well without a cut, there is none: it would but move one person of a
    fixed camera onto another.
    """
    place, motion = _agreement(videos[one], videos[other], cuts)
    worth = (place > MIN_PLACE - 0.2) & (motion > MIN_MOTION - 0.5)
    one, other, cuts = one[worth], other[worth], cuts[worth]
    a, b, place, motion = videos[one], videos[other], place[worth], motion[worth]
    best = place + MOTION_WEIGHT * motion
    for step, edge, sign in itertools.product(REFINEMENTS, range(4), (-1, 1)):
        moved = cuts.copy()
        moved[:, edge] = np.clip(moved[:, edge] + sign * step, 0, 1)
        new_place, new_motion = _agreement(a, b, moved)
        score = new_place + MOTION_WEIGHT * new_motion
        better = score > best
        best = np.where(better, score, best)
        place, motion = np.where(better, new_place, place), np.where(better, new_motion, motion)
        cuts = np.where(better[:, None], moved, cuts)
    needed = np.maximum(MIN_MOTION, ALIGNED_MOTION - STEEPNESS * (1 - place))
    whole = np.where(cuts[:, :1] > cuts[:, 1:2], MIRRORED, WHOLE)
    whole_place, whole_motion = _agreement(a, b, whole)
    is_whole = whole_place >= place - UNCUT
    place, motion = np.where(is_whole, whole_place, place), np.where(is_whole, whole_motion, motion)
    needed[is_whole] = ALIGNED_MOTION
    alike = (place >= MIN_PLACE) & (motion >= needed)
    yield from zip(one[alike].tolist(), other[alike].tolist(), strict=True)


def _agreement(a: np.ndarray, b: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlations of a cut of each first video with the second: of the place, and of what moves.

    Args:
        a: uint8 `(pairs, TIMES, SIDE, SIDE)`.
        b: the same of the others.
        cuts: of the first ones, `(pairs, 4)`.

    Returns:
        Two arrays `(pairs,)`. Brightness makes no difference. Where nothing moves in either video,
        their motions agree.
    """
    x0, x1, y0, y1 = cuts.T
    rows = _resampling(y0, y1, SIDE)[:, None]
    columns = _resampling(x0, x1, SIDE)[:, None].swapaxes(-1, -2)
    a, b = rows @ a.astype(np.float32) @ columns, b.astype(np.float32)
    a, b = (frames - frames.mean(axis=(2, 3), keepdims=True) for frames in (a, b))
    mean_a, mean_b = a.mean(axis=1, keepdims=True), b.mean(axis=1, keepdims=True)
    return _correlation(mean_a, mean_b), _correlation(a - mean_a, b - mean_b)


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of `(pairs, ...)` with zero mean, to both of which noise in common is added."""
    noise = NOISE**2 * a[0].size if len(a) else 0.0
    axes = (1, 2, 3)
    both, own_a, own_b = (a * b).sum(axes), (a * a).sum(axes), (b * b).sum(axes)
    return (both + noise) / np.sqrt((own_a + noise) * (own_b + noise))


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
