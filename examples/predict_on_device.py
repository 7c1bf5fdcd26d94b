"""Names the action in a video without TensorFlow: python predict_on_device.py MODEL VIDEO

MODEL is what `python -m fstcn_keras.export --format litert|onnx` wrote, in float32 or int8. All
that is needed are NumPy, PyAV, and LiteRT (`ai-edge-litert`) for *.tflite or ONNX Runtime for
*.onnx. Frames are resized by FFmpeg, turned by no metadata, and their pixels taken for square.
"""

import json
import sys
import zipfile

import av
import numpy as np


def load(file):
    """Returns the network as a function of a batch of views, its classes and its view plan."""
    if file.endswith(".tflite"):
        from ai_edge_litert.interpreter import Interpreter

        run = Interpreter(file, num_threads=2).get_signature_runner()
        with zipfile.ZipFile(file) as archive:
            texts = {name: archive.read(name).decode() for name in archive.namelist()}
        return lambda views: run(**views)["probabilities"], *described(texts)
    from onnxruntime import InferenceSession

    session = InferenceSession(file)
    texts = session.get_modelmeta().custom_metadata_map
    return lambda views: session.run(["probabilities"], views)[0], *described(texts)


def described(texts):
    return texts["classes.txt"].removesuffix("\n").split("\n"), json.loads(texts["views.json"])


def frame_numbers(num_frames, plan):
    """The frames of M clips and those subtracted from them, (M, 2, l_t), mirrored at the end."""
    stride = plan["stride"]
    if plan.get("sampling") == "sparse":  # clips spread over the whole video
        stride = max(stride, (num_frames - plan["distance"]) // plan["clip_length"])
    steps = stride * np.arange(plan["clip_length"])
    last = max(0, num_frames - (steps[-1] + plan["distance"] + 1))
    shares = np.linspace(0, 1, plan["num_clips"]) if plan["num_clips"] > 1 else np.array([0.5])
    starts = np.floor(shares * last + 0.5).astype(int)
    numbers = starts[:, None, None] + np.stack([steps, steps + plan["distance"]])
    period = max(1, 2 * (num_frames - 1))
    return np.minimum(numbers % period, -numbers % period)


def read(file, wanted, short_side):
    """Decodes a video and keeps the wanted frames, resized, by their numbers."""
    frames = {}
    with av.open(file) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                sides, shorter = (frame.width, frame.height), min(frame.width, frame.height)
                width, height = ((2 * s * short_side + shorter) // (2 * shorter) for s in sides)
                how = "BICUBIC" if shorter == short_side else "AREA"
                small = frame.reformat(width, height, "rgb24", interpolation=how)
                frames[number] = small.to_ndarray()
    return frames


def crops(images, size):
    """Nine crops of some frames and their mirror images, (18, l_t, size, size, 3)."""
    tops, lefts = ([(side - size) * i // 2 for i in range(3)] for side in images.shape[1:3])
    grid = [images[:, y : y + size, x : x + size] for y in tops for x in lefts]
    return np.stack([*grid, *(crop[:, :, ::-1] for crop in grid)])


def fuse(p):
    """Weighs crops by their sparsity concentration index, and takes the best of the clips."""
    num_classes = p.shape[-1]
    sci = (num_classes * p.max(axis=-1) / p.sum(axis=-1) - 1) / (num_classes - 1)
    weights = np.maximum(sci, 1e-12)[..., None]
    return ((weights * p).sum(axis=1) / weights.sum(axis=1)).max(axis=0)


def main(model, video):
    """Prints all classes with their scores, the best first."""
    network, classes, plan = load(model)
    if "fps" in plan:
        sys.exit(
            f"this network takes videos read at {plan['fps']} frames a second: see docs/data.md"
        )
    try:
        with av.open(video) as container:
            num_frames = sum(1 for _ in container.decode(video=0))
    except (av.FFmpegError, IndexError) as error:
        sys.exit(f"{video} cannot be read as a video: {error}")
    numbers = frame_numbers(num_frames, plan)
    frames = read(video, {*numbers.flat}, plan["short_side"])
    scores = []
    for clip, later in ((np.stack([frames[n] for n in part]) for part in pair) for pair in numbers):
        difference = np.maximum(clip, later) - np.minimum(clip, later)
        views = {"clip": clip, "clip_diff": difference}
        scores.append(network({name: crops(x, plan["crop_size"]) for name, x in views.items()}))
    fused = fuse(np.stack(scores).astype(float))
    for n in np.argsort(-fused, kind="stable"):
        print(f"{fused[n]:8.3f}  {classes[n]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
