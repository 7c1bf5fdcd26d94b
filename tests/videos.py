"""Video files that tests make for themselves."""

import io
from pathlib import Path

import av
import numpy as np
from PIL import Image


def write_video(
    path: Path, frames: np.ndarray, *, codec: str = "ffv1", fps: int = 25, bit_rate: int = 8_000_000
) -> Path:
    """Encodes `(frames, height, width, 3)` uint8 RGB; "ffv1" loses nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        stream.bit_rate = bit_rate
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def encoded(image: np.ndarray | Image.Image, kind: str = "png", **options) -> bytes:
    """An image as a file."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def grey_ramp(num_frames: int, *, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame `t` is uniformly grey, of level `10 + 4 t`: its number can be read off it."""
    levels = 10 + 4 * np.arange(num_frames, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (num_frames, height, width, 3)).copy()


def noise(num_frames: int, *, height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """Frames of independent random pixels: large files, and no two frames alike."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def write_noise_folder(root: Path, number: int, *, num_frames: int = 12, height: int = 48) -> Path:
    """Videos of noise, in turn of the classes `a` and `b`."""
    for n in range(number):
        frames = noise(num_frames, height=height, width=height + 16, seed=n)
        write_video(root / "ab"[n % 2] / f"{n}.avi", frames)
    return root
