"""The page for people at `/`: its files, what it tells of the model, and what it asks for."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from fstcn_keras.occlusion import Occlusion, occlude
from fstcn_keras.prediction import Moment, Prediction
from fstcn_keras.runs import example_files
from fstcn_keras.serving.kserve_model import ClassifierDataPlane, ClassifierModel, v1_answer
from fstcn_keras.serving.page_video import PageVideo, Second, decode_for_page, jpeg
from fstcn_keras.serving.refusals import BadRequest

if TYPE_CHECKING:
    from fstcn_keras.classifier import ActionClassifier

CLASSES_SHOWN = 5  # of a second
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def add_page(app: FastAPI, plane: ClassifierDataPlane, folder: Path) -> None:
    """Adds the page and what it asks for to the application.

    Args:
        app: the application.
        plane: whose model scores.
        folder: of the run or SavedModel, whose `examples` the page offers.
    """
    files = {
        file.name: file.read_bytes()
        for file in resources.files("fstcn_keras.serving").joinpath("page").iterdir()
        if Path(file.name).suffix in _TYPES
    }
    examples = example_files(folder)
    model, vary = plane.model, {"Vary": "Accept"}

    @app.get("/")
    async def show_page(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):  # as of KServe's client
            return JSONResponse(await plane.live(), headers=vary)
        return _file("page.html", **vary)

    @app.get("/page/files/{name}")
    async def show_file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "Not Found")
        return _file(name)

    def _file(name: str, **more: str) -> Response:
        headers = {
            **more,
            "Content-Security-Policy": CONTENT_POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }
        return Response(files[name], media_type=_TYPES[Path(name).suffix], headers=headers)

    @app.get("/page/model")
    async def show_model() -> JSONResponse:
        return JSONResponse(_about(model, examples))

    @app.get("/page/examples/{number}")
    async def show_example(number: int) -> FileResponse:
        if not 0 <= number < len(examples) or not examples[number].is_file():
            raise HTTPException(404, "Not Found")
        return FileResponse(examples[number], media_type="video/mp4")

    @app.post("/page/scores")
    async def scores(request: Request) -> Response:
        return _Scores(model, await request.body())

    @app.post("/page/saliency")
    async def saliency(request: Request, clip: int, name: str) -> JSONResponse:
        classifier = model.classifier
        if name not in classifier.classes or not 0 <= clip < classifier.plan.num_clips:
            raise BadRequest("`clip` or `name` is none of this model's")
        async with contextlib.AsyncExitStack() as held:
            video = await _decoded(model, await request.body(), held)
            work = model.workers.score(_explain, classifier, video, clip, name)
            return JSONResponse(await model.workers.within_time(work))


class _Scores(Response):
    """Answers with what is found of a video, and holds its frames no longer than that takes.

    How fast the client reads delays nobody else: what is found waits for it without the frames.
    """

    def __init__(self, model: ClassifierModel, body: bytes) -> None:
        self.background = None
        self._model, self._video = model, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found: asyncio.Queue[bytes | None] = asyncio.Queue()
        async with contextlib.AsyncExitStack() as held:
            video = await _decoded(self._model, self._video, held)
            told = {"num_frames": video.frames.num_frames, "length_s": video.length_s}
            first, pictures = {"video": told, "seconds": len(video.seconds)}, video.pictures
            scoring = asyncio.create_task(_score(self._model, video, found, held))
            del video
            lines = _lines(first, pictures, found, scoring)
            response = StreamingResponse(lines, media_type="application/x-ndjson")
            try:
                # to score it, and to send what is found
                async with asyncio.timeout(2 * self._model.workers.limits.seconds):
                    await response(scope, receive, send)
            except TimeoutError as error:
                raise ClientDisconnect from error  # as good as: it does not take its answer
            finally:
                scoring.cancel()
                await asyncio.gather(scoring, return_exceptions=True)


async def _decoded(
    model: ClassifierModel, body: bytes, held: contextlib.AsyncExitStack
) -> PageVideo:
    """Decodes a video in a turn that is held as long as its frames are."""
    plan, workers = model.classifier.plan, model.workers

    async def decode() -> PageVideo:
        await held.enter_async_context(workers.turn())
        return await workers.decode(decode_for_page, body, plan, workers.limits)

    return await workers.within_time(decode())


def _about(model: ClassifierModel, examples: list[Path]) -> dict[str, Any]:
    limits = model.workers.limits
    about: dict[str, Any] = {
        "name": model.name,
        "version": model.version,
        "ready": model.ready,
        "limits": {
            "bytes": limits.request_bytes,
            "frames": limits.frames,
            "pixels": limits.pixels,
            "seconds": limits.seconds,
        },
        "examples": [unquote(file.stem.partition("-")[2]) for file in examples],
    }
    if model.ready:
        plan = model.classifier.plan
        about["classes"] = list(model.classifier.classes)
        about["clips"] = plan.num_clips
    return about


async def _score(
    model: ClassifierModel,
    video: PageVideo,
    found: asyncio.Queue[bytes | None],
    held: contextlib.AsyncExitStack,
) -> None:
    """Puts a line of JSON for each thing that is found of a video, and `None` after the last.

    Then the turn that is held for its frames ends.
    """
    classifier, workers = model.classifier, model.workers
    try:
        async with asyncio.timeout(workers.limits.seconds):
            prediction = await workers.score(classifier.predict_video, video.frames)
            answer = {"prediction": v1_answer(prediction), "clips": _clips(prediction, video)}
            found.put_nowait(_line(answer))
            for second in video.seconds:
                moment = await workers.score(_moment, classifier, video, second)
                found.put_nowait(_line({"second": _second(moment)}))
        found.put_nowait(_line({"done": True}))
    except TimeoutError:
        seconds = f"{workers.limits.seconds:g}"
        told = f"the server gave up after {seconds} s: send a shorter video"
        found.put_nowait(_line({"error": told}))
    finally:
        found.put_nowait(None)
        await held.aclose()


async def _lines(
    first: dict[str, Any],
    pictures: Sequence[tuple[float, bytes]],
    found: asyncio.Queue[bytes | None],
    scoring: asyncio.Task[None],
) -> AsyncIterator[bytes]:
    """Gives out the answer, a line of JSON at a time, and raises what scoring has raised."""
    yield _line(first)
    for time_s, picture in pictures:  # one by one: no large piece waits for a slow client
        shown = {"time_s": time_s, "jpeg": base64.b64encode(picture).decode()}
        yield _line({"picture": shown})
    while (line := await found.get()) is not None:
        yield line
    await scoring


def _clips(prediction: Prediction, video: PageVideo) -> list[dict[str, Any]]:
    return [
        {"start_s": start_s, "end_s": end_s, "name": prediction.classes[int(scores.argmax())]}
        for (start_s, end_s), scores in zip(video.spans, prediction.clip_scores, strict=True)
    ]


def _moment(classifier: "ActionClassifier", video: PageVideo, second: Second) -> Moment:
    frames, positions = _clip_frames(video, second.positions)
    return classifier.moment(frames, positions, start_s=second.start_s, end_s=second.end_s)


def _clip_frames(video: PageVideo, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the frames of one clip pair, and its positions in them."""
    distinct, inverse = np.unique(positions, return_inverse=True)
    frames = np.stack([video.frames.images[position] for position in distinct.tolist()])
    return frames, inverse.reshape(positions.shape)


def _second(moment: Moment) -> dict[str, Any]:
    return {
        "start_s": moment.start_s,
        "end_s": moment.end_s,
        "classes": list(moment.classes[:CLASSES_SHOWN]),
        "scores": moment.scores[:CLASSES_SHOWN].tolist(),
        "rejected": moment.rejected,
    }


def _explain(
    classifier: "ActionClassifier", video: PageVideo, clip: int, name: str
) -> dict[str, Any]:
    pair = classifier.plan.pair_indices(video.frames.num_frames)[clip]
    frames, positions = _clip_frames(video, np.searchsorted(video.frames.numbers, pair))
    found: Occlusion = occlude(classifier, *frames[positions], label=classifier.classes.index(name))
    middle = positions[0, positions.shape[1] // 2]
    return {
        "score": found.score,
        "drops": found.drops.tolist(),
        "jpeg": base64.b64encode(jpeg(frames[middle])).decode(),
    }


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"
