"""The server under load: python -m benchmarks.server [RUN]

Starts `fstcn_keras.serve` with a run, or with preset small and random weights, and measures

- the time from its start to its first answer;
- the time for a video of 3 seconds, 320x240, scored by 5 x 18 views;
- 400 requests by 8 clients at a time, good and bad ones mixed: every good answer is compared
  with `ActionClassifier.predict_video` of this process, every bad request has a status of its
  own; how long answers take, clips scored a second, and the resident memory of the server and
  its processes after every hundred answers;
- the same requests, and the video over gRPC, by --clients clients for --seconds seconds: how many
  were lost or wrong, how long good answers took, requests a second.

Ends with 1 if an answer is lost or wrong. A few minutes on two cores.
"""

import argparse
import base64
import dataclasses
import io
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import numpy as np
from PIL import Image

from benchmarks.report import alternate, print_table, write_csv
from benchmarks.samples import coarse_video, random_run
from fstcn_keras import ActionClassifier
from tests.servers import ServerProcess, own_lines

CLIENTS = 8
REQUESTS = 400
VIDEO = "video of 3 s, 5 x 18 views"
ROUNDS = 7  # of it
MB = 2**20
TOLERANCE = 1e-5
FAULTS = ("lost answers", "wrong answers")
NAME = "served"


@dataclass(frozen=True)
class Case:
    """A request and what must come of it.

    Attributes:
        send: sends it.
        status: of the answer.
        scores: by class, if it is good.
        clips: distinct clips that are scored for it.
    """

    send: Callable[[httpx.Client], httpx.Response]
    status: int = 200
    scores: dict[str, float] | None = None
    clips: int = 0


def main():
    """Prints and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    run = options.run
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if run is None:
            run = random_run(folder / "small", num_classes=21)
        long_video = coarse_video(folder / "long.mp4", num_frames=75, square=16)
        cases = make_cases(ActionClassifier.load(run), folder, long_video)
        begin = time.perf_counter()
        with ServerProcess(run, "--name", NAME, log=folder / "log") as server:
            with server.client() as client:
                ask = {VIDEO: lambda: cases[0].send(client).raise_for_status()}
                ask[VIDEO]()
                rows = [row("start to first answer", time.perf_counter() - begin, "s")]
                seconds = alternate(ask, rounds=ROUNDS, turn=0)
                rows += [row(VIDEO, seconds[VIDEO], "s")]
            rows += under_load(server, cases)
            with grpc.insecure_channel(server.grpc_address) as channel:
                cases.append(over_grpc(channel, cases[0], long_video))
                rows += lasting(server, cases, clients=options.clients, seconds=options.seconds)
        log = own_lines((folder / "log").read_text())
    print_table(rows)
    write_csv("server", rows)
    if log or any(line["value"] for line in rows if line["measure"].endswith(FAULTS)):
        sys.exit(f"not all answers are right: {log}")


def make_cases(classifier: ActionClassifier, folder: Path, long_video: Path) -> list[Case]:
    """The video of 3 seconds first; then good and bad requests, about as many of each."""
    frames = np.random.default_rng(0).integers(0, 256, (3, 120, 160, 3), dtype=np.uint8)
    short_video = coarse_video(folder / "short.avi", num_frames=30, square=16)

    def post(path: str, **content):
        return lambda client: client.post(path, **content)

    def good(send, source, clips: int) -> Case:
        prediction = classifier.predict_video(source)
        scores = dict(zip(prediction.classes, prediction.scores.tolist(), strict=True))
        return Case(send, scores=scores, clips=clips)

    predict, infer = f"/v1/models/{NAME}:predict", f"/v2/models/{NAME}/infer"
    image = {"b64": base64.b64encode(png(frames[0])).decode()}
    tensor = {"name": "frames", "datatype": "UINT8", "shape": list(frames.shape)}
    pixels = {"inputs": [{**tensor, "data": frames.ravel().tolist()}]}
    no_image = {"instances": [{"frames": [{"b64": "AAAA"}]}]}
    damaged = long_video.read_bytes()[:3000]
    return [
        good(post(predict, files={"video": long_video.read_bytes()}), long_video, 5),
        Case(post(predict, content=b'{"instances": ['), 400),
        good(post(predict, json={"instances": [{"frames": [image]}]}), frames[:1], 1),
        Case(post(predict, json=no_image), 400),
        good(post(infer, json=pixels), frames, 1),
        Case(post(predict, files={"video": damaged}), 400),
        good(post(predict, files={"video": short_video.read_bytes()}), short_video, 1),
        Case(lambda client: client.post("/v1/models/other:predict", json={}), 404),
    ]


def under_load(server: ServerProcess, cases: list[Case]) -> list[dict]:
    """All requests by all clients; rows of the table."""

    def ask(case: Case) -> tuple[Case, httpx.Response, float]:
        begin = time.perf_counter()
        response = case.send(client)
        return case, response, time.perf_counter() - begin

    asked = [cases[number % len(cases)] for number in range(REQUESTS)]
    answers, memory = [], []
    with server.client() as client, ThreadPoolExecutor(CLIENTS) as clients:
        begin = time.perf_counter()
        for answer in clients.map(ask, asked):
            answers.append(answer)
            if len(answers) % 100 == 0:
                memory.append(server.resident_bytes() / MB)
        total = time.perf_counter() - begin
    statuses = Counter(response.status_code for _, response, _ in answers)
    wrong = [response for case, response, _ in answers if not is_right(case, response)]
    for response in wrong:
        print(response.status_code, response.text[:200])
    seconds = [taken for case, _, taken in answers if case.scores is not None]
    percentiles = statistics.quantiles(seconds, n=100)
    return [
        *(row(f"answers {status}", count, "") for status, count in sorted(statuses.items())),
        row("wrong answers", len(wrong), ""),
        *(row(f"good answer, {n} % within", percentiles[n - 1], "s") for n in (50, 90, 99)),
        row("clips of 18 crops", sum(case.clips for case in asked) / total, "1/s"),
        *(row(f"memory at request {100 * n}", mb, "MB") for n, mb in enumerate(memory, 1)),
        row("growth from request 100 to 400", 100 * (memory[-1] / memory[0] - 1), "%"),
    ]


def over_grpc(channel: grpc.Channel, case: Case, video: Path) -> Case:
    """The case of a video, sent over gRPC."""
    from kserve import InferInput, InferRequest, InferResponse  # it reads the command line
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    stub = GRPCInferenceServiceStub(channel)
    given = InferInput("video", [1], "BYTES")
    given.set_data_from_numpy(np.array([video.read_bytes()], object))
    request = InferRequest(model_name=NAME, infer_inputs=[given]).to_grpc()

    def send(_: httpx.Client) -> httpx.Response:
        answer = InferResponse.from_grpc(stub.ModelInfer(request, timeout=60))
        return httpx.Response(200, json=answer.to_rest()[0])

    return dataclasses.replace(case, send=send)


def lasting(
    server: ServerProcess, cases: list[Case], *, clients: int, seconds: float
) -> list[dict]:
    """All requests over and over by so many clients for so long; rows of the table."""
    end = time.monotonic() + seconds

    def ask_on(number: int) -> list[tuple[Case, bool | None, float]]:
        """What came of each: whether it was right, `None` if nothing came."""
        found = []
        with server.client() as client:
            while time.monotonic() < end:
                case = cases[(number + len(found)) % len(cases)]
                begin = time.perf_counter()
                try:
                    right = is_right(case, case.send(client))
                except (httpx.HTTPError, grpc.RpcError):
                    right = None
                found.append((case, right, time.perf_counter() - begin))
        return found

    with ThreadPoolExecutor(clients) as threads:
        found = [one for several in threads.map(ask_on, range(clients)) for one in several]
    percentiles = statistics.quantiles(
        [taken for case, _, taken in found if case.scores is not None], n=100
    )
    load = f"{clients} clients, {seconds:g} s: "
    return [
        row(f"{load}requests", len(found), ""),
        row(f"{load}lost answers", sum(right is None for _, right, _ in found), ""),
        row(f"{load}wrong answers", sum(right is False for _, right, _ in found), ""),
        *(row(f"{load}good answer, {n} % within", percentiles[n - 1], "s") for n in (50, 99)),
        row(f"{load}requests a second", len(found) / seconds, "1/s"),
    ]


def is_right(case: Case, response: httpx.Response) -> bool:
    """Whether the answer has its status and, if it is good, its scores."""
    if response.status_code != case.status:
        return False
    if case.scores is None:
        return "error" in response.json()
    found = scores_of(response.json())
    return found.keys() == case.scores.keys() and all(
        abs(found[name] - score) <= TOLERANCE for name, score in case.scores.items()
    )


def scores_of(answer: dict) -> dict[str, float]:
    """Scores by class, of V1 or V2."""
    if "predictions" in answer:
        (values,) = answer["predictions"]
    else:
        values = {output["name"]: output["data"] for output in answer["outputs"]}
    return dict(zip(values["classes"], values["scores"], strict=True))


def png(image: np.ndarray) -> bytes:
    """The image as a file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


def row(measure: str, value: float, unit: str) -> dict:
    """A line of the table."""
    return {"measure": measure, "value": round(value, 3), "unit": unit}


if __name__ == "__main__":
    main()
