"""The built-in demo: videos whose class is an appearance and a motion.

Eight classes are the pairs of two appearances and four motions of some discs on a drifting
textured background. Any one frame shows the appearance and nothing of the motion: position and
size of the discs are spread alike in every class. The absolute difference of two frames shows
the motion and nothing of the appearance: "red" adds to the background what "cyan" takes away
from it.
"""

import re
from pathlib import Path

import av
import numpy as np

from fstcn_keras.files import atomic_write
from training.errors import UserError
from training.locks import locked
from training.parallel import map_processes

DEMO_VERSION = 2  # of what is rendered; names the cache folder
HEIGHT, WIDTH, FPS, NUM_FRAMES = 120, 160, 25, 60
APPEARANCES = {"red": 1.0, "cyan": -1.0}
MOTIONS = ("sway", "pulse", "hop", "rest")
NUM_DISCS = 5
TINT = np.array([80, -40, -40], np.float32)  # what red adds to the grey background: R, G, B
VIDEOS_PER_CLASS, TEST_PER_CLASS, NUM_SPLITS = 40, 10, 3
SPLITS_FOLDER = "testTrainMulti_7030_splits"
VIDEO_NAME = re.compile(rf"demo(\d+)_({'|'.join(APPEARANCES)})_({'|'.join(MOTIONS)})\.avi")


def prepare_demo(data_dir: Path):
    """Renders the demo videos and split files in HMDB-51's layout, unless they are there."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with locked(data_dir, "prepares"):
        if not (data_dir / SPLITS_FOLDER).is_dir():
            _write_all(data_dir)


def _write_all(data_dir: Path):
    jobs = [
        (data_dir / "videos" / f"{appearance}_{motion}", appearance, motion, number)
        for appearance in APPEARANCES
        for motion in MOTIONS
        for number in range(VIDEOS_PER_CLASS)
    ]
    list(map_processes(_write_video, jobs, killed=_stop, description="rendering demo videos"))
    partial = data_dir / f"{SPLITS_FOLDER}.partial"
    partial.mkdir(parents=True, exist_ok=True)
    for class_folder in {job[0] for job in jobs}:
        _write_splits(partial, class_folder.name)
    partial.rename(data_dir / SPLITS_FOLDER)


def render(appearance: str, motion: str, generator: np.random.Generator) -> np.ndarray:
    """Renders one video of the demo, uint8 `(frames, height, width, 3)`."""
    centers, radii = _trajectories(motion, generator)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    texture = _texture(generator)
    drift_y, drift_x = generator.uniform(-0.5, 0.5, 2).tolist()  # pixels per frame
    frames = []
    for t in range(NUM_FRAMES):
        grey = texture(y + drift_y * t, x + drift_x * t)
        cover = np.zeros_like(grey)
        for (center_y, center_x), radius in zip(centers[t], radii[t], strict=True):
            distance = np.hypot(y - center_y, x - center_x)
            cover = np.maximum(cover, np.clip(radius - distance + 0.5, 0, 1))
        image = grey[..., None] + APPEARANCES[appearance] * cover[..., None] * TINT
        frames.append(np.clip(image, 0, 255).astype(np.uint8))
    return np.stack(frames)


def disc_boxes(video_name: str) -> np.ndarray | None:
    """Boxes around the discs of a demo video, by the name of its file.

    Returns:
        float32 `(frames, discs, 4)`: top, left, bottom and right edge in rows and columns of the
        rendered frames, beyond these where a disc is; `None` if no demo video bears the name.
    """
    match = VIDEO_NAME.fullmatch(video_name)
    if match is None:
        return None
    number, appearance, motion = match.groups()
    centers, radii = _trajectories(motion, _generator(appearance, motion, int(number)))
    reach = radii[..., None] + 0.5  # of the discs' soft edge
    return np.concatenate([centers - reach, centers + reach], axis=-1)


def _generator(appearance: str, motion: str, number: int) -> np.random.Generator:
    return np.random.default_rng(
        [list(APPEARANCES).index(appearance), MOTIONS.index(motion), number]
    )


def _trajectories(motion: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Centres (frames, discs, 2) as y, x and radii (frames, discs) of the discs, float32 pixels.

    At any one time the centres are uniform over the frame and the radii over 8 to 18 pixels,
    whatever the motion.
    """
    size = np.array([HEIGHT, WIDTH])
    time = np.arange(NUM_FRAMES)[:, None, None]
    start = generator.uniform(0, size, (NUM_DISCS, 2))
    phase = generator.uniform(0, 1, NUM_DISCS)
    speed = generator.uniform(1.2, 2.2)  # pixels per frame
    sense = generator.choice([-1, 1])
    centers = np.broadcast_to(start, (NUM_FRAMES, NUM_DISCS, 2))
    if motion == "sway":
        centers = start + time * np.array([0, sense * speed])
    elif motion == "hop":
        period = generator.integers(7, 13)  # frames between two hops
        positions = generator.uniform(0, size, (NUM_FRAMES, NUM_DISCS, 2))
        centers = positions[(time[:, 0, 0] + generator.integers(period)) // period]
    elif motion == "pulse":
        phase = phase + time[..., 0] / generator.uniform(16, 24)
    radii = 8 + 10 * np.abs(2 * (phase % 1) - 1)  # a triangle wave: uniform at any one time
    radii = np.broadcast_to(radii, (NUM_FRAMES, NUM_DISCS))
    return (centers % size).astype(np.float32), radii.astype(np.float32)


def _texture(generator: np.random.Generator):
    """Returns a random smooth grey pattern, as a function of position."""
    waves = generator.uniform(-0.25, 0.25, (6, 2)).tolist()  # radians per pixel
    phases = generator.uniform(0, 2 * np.pi, 6).tolist()
    level = float(generator.uniform(110, 146))

    def grey(y, x):
        parts = [np.sin(a * y + b * x + c) for (a, b), c in zip(waves, phases, strict=True)]
        return level + 9 * sum(parts)

    return grey


def _write_video(job):
    class_folder, appearance, motion, number = job
    path = class_folder / _video_name(class_folder.name, number)
    if path.exists():
        return
    class_folder.mkdir(parents=True, exist_ok=True)
    frames = render(appearance, motion, _generator(appearance, motion, number))
    with atomic_write(path) as partial, av.open(partial, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 2_000_000
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _stop(job):
    raise UserError(
        f"the process that rendered {_video_name(job[0].name, job[-1])} was killed, perhaps for "
        "want of memory; what is finished is kept, run again"
    )


def _write_splits(splits_dir: Path, class_name: str):
    for split in range(NUM_SPLITS):
        tested = range(split * TEST_PER_CLASS, (split + 1) * TEST_PER_CLASS)
        lines = [
            f"{_video_name(class_name, number)} {2 if number in tested else 1} \n"
            for number in range(VIDEOS_PER_CLASS)
        ]
        (splits_dir / f"{class_name}_test_split{split + 1}.txt").write_text("".join(lines))


def _video_name(class_name: str, number: int) -> str:
    return f"demo{number:02d}_{class_name}.avi"
