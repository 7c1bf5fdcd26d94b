"""Video classifiers of torchvision and transformers: python -m benchmarks.video_peers NAME FILE...

Names the class of each file, decoded by PyAV, as CSV; with --repeats then prints one line of JSON
with times and operations. The networks have random weights, whose speed is that of trained ones.
Clips and preprocessing are those with which the libraries' documentation gives accuracies; frames
lie evenly over the video where it says nothing. Each network imports its own library alone.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

NUM_CLASSES = 21
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
Frames = np.ndarray  # (T, height, width, 3) uint8
Classify = Callable[[Frames, float], Tensor]  # frames and their rate; scores (NUM_CLASSES,)


@dataclass(frozen=True)
class Peer:
    """A network and what it looks at in a video.

    Attributes:
        views: in words.
        build: makes the function that scores a video.
    """

    views: str
    build: Callable[[], Classify]


def from_torchvision(name: str, *, clips: int, length: int, rate: float) -> Peer:
    """Returns one of its video networks: clips of so many frames at the rate, spread evenly."""

    def build() -> Classify:
        import torchvision

        network = torchvision.models.get_model(name, num_classes=NUM_CLASSES).eval()
        preprocess = torchvision.models.get_model_weights(name).DEFAULT.transforms()

        def classify(frames: Frames, fps: float) -> Tensor:
            steps = np.round(np.arange(length) * fps / rate).astype(int)
            starts = np.linspace(0, max(0, len(frames) - 1 - steps[-1]), clips).astype(int)
            chosen = np.minimum(starts[:, None] + steps, len(frames) - 1)
            batch = [preprocess(_channels_first(frames[numbers])) for numbers in chosen]
            return network(torch.stack(batch)).softmax(-1).mean(0)

        return classify

    return Peer(f"{clips} clips of {length} frames" if clips > 1 else f"{length} frames", build)


def from_transformers(kind: str, *, length: int) -> Peer:
    """Returns one of its video networks of size base: so many frames of the whole video."""

    def build() -> Classify:
        import transformers

        config = getattr(transformers, f"{kind}Config")(num_labels=NUM_CLASSES, num_frames=length)
        network = getattr(transformers, f"{kind}ForVideoClassification")(config).eval()
        processor = transformers.VideoMAEImageProcessor()

        def classify(frames: Frames, fps: float) -> Tensor:
            chosen = np.linspace(0, len(frames) - 1, length).astype(int)
            return network(**processor(list(frames[chosen]), return_tensors="pt")).logits[0]

        return classify

    return Peer(f"{length} frames", build)


def tsn_resnet50() -> Classify:
    """Returns a temporal segment network in test: 25 frames in 10 crops (Wang et al. 2016)."""
    import torchvision
    from torchvision.transforms import v2

    network = torchvision.models.resnet50(num_classes=NUM_CLASSES).eval()
    preprocess = v2.Compose([v2.Resize(256), v2.TenCrop(224)])
    scale = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(**IMAGENET)])

    def classify(frames: Frames, fps: float) -> Tensor:
        chosen = np.linspace(0, len(frames) - 1, 25).astype(int)
        crops = torch.cat(list(preprocess(_channels_first(frames[chosen]))))
        scores = [network(scale(part)).softmax(-1) for part in crops.split(25)]
        return torch.cat(scores).mean(0)

    return classify


PEERS = {
    "VideoMAE-base": from_transformers("VideoMAE", length=16),
    "TimeSformer-base": from_transformers("Timesformer", length=8),
    "R(2+1)D-18": from_torchvision("r2plus1d_18", clips=5, length=16, rate=15),
    "S3D": from_torchvision("s3d", clips=1, length=128, rate=15),
    "MViTv2-S": from_torchvision("mvit_v2_s", clips=5, length=16, rate=7.5),
    "TSN-ResNet-50": Peer("25 frames in 10 crops", tsn_resnet50),
}


@torch.inference_mode()
def main():
    """Prints the classes, then what --repeats asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=0, help="times the first file once more")
    options = parser.parse_args()
    peer = PEERS[options.name]
    classify, table = peer.build(), csv.writer(sys.stdout)
    for file in options.files:
        table.writerow([file, int(classify(*decoded(file)).argmax())])
    if options.repeats:  # else the command is timed, which must do no more than answer
        found = measured(classify, options.files[0], options.repeats)
        print(json.dumps({**found, "views": peer.views}))


def measured(classify: Classify, file: Path, repeats: int) -> dict:
    """Returns seconds of so many further answers, and the operations of one."""
    warm = []
    for _ in range(repeats):
        begin = time.perf_counter()
        classify(*decoded(file))
        warm.append(time.perf_counter() - begin)
    with FlopCounterMode(display=False) as counter:
        classify(*decoded(file))
    return {"warm": warm, "operations": counter.get_total_flops()}


def decoded(file: Path) -> tuple[Frames, float]:
    """Returns all frames of a video and how many there are in a second."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.stack(frames), float(stream.average_rate or 25)


def _channels_first(frames: Frames) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


if __name__ == "__main__":
    main()
