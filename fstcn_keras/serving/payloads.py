"""Bodies of requests to the videos they hold, encoded still, and predictions to answers."""

import base64
import binascii
from collections.abc import Mapping

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from fstcn_keras.prediction import Prediction
from fstcn_keras.serving.decoding import EncodedFrames, EncodedVideo
from fstcn_keras.serving.limits import BadRequest, Limits, TooLarge

V1_FORM = '{"instances": [{"frames": [{"b64": JPEG}, ...]} or {"video": {"b64": FILE}}, ...]}'
V2_FORM = "one input: `frames` BYTES [T], `frames` UINT8 [T, H, W, 3] or `video` BYTES [1]"


Video = EncodedVideo | EncodedFrames | np.ndarray  # uint8 (T, H, W, 3)


async def v1_videos(body: dict | bytes, headers: Mapping[str, str], limits: Limits) -> list[Video]:
    """The videos of a request by V1: JSON, a form with files `video`, or the bytes of one file.

    Raises:
        BadRequest: saying what is wrong.
    """
    if isinstance(body, bytes):
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            videos = await _form_files(body, headers, limits)
        elif kind.startswith("video/"):
            videos = [EncodedVideo(body)]
        else:
            raise BadRequest(
                "the content type must be application/json, multipart/form-data with a file "
                "`video`, or that of a video"
            )
    else:
        instances = body.get("instances") if isinstance(body, dict) else None
        if not isinstance(instances, list) or not instances:
            raise BadRequest(f"expected {V1_FORM}")
        videos = [_instance(instance, f"instance {n}") for n, instance in enumerate(instances)]
    if len(videos) > limits.videos:
        raise TooLarge(f"{len(videos)} videos in a request; at most {limits.videos} are taken")
    return videos


def v2_video(request: InferRequest, limits: Limits) -> Video:
    """The video of a request by V2, over REST (strings are base64) or gRPC (bytes).

    Raises:
        BadRequest: saying what is wrong.
    """
    if len(request.inputs) != 1 or request.inputs[0].name not in ("frames", "video"):
        raise BadRequest(f"expected {V2_FORM}")
    (tensor,) = request.inputs
    if tensor.datatype == "UINT8" and tensor.name == "frames":
        return _pixels(tensor, limits)
    if tensor.datatype != "BYTES":
        raise BadRequest(f"expected {V2_FORM}; received another datatype")
    values = np.asarray(_tensor(tensor), object)
    if values.ndim != 1 or len(values) == 0 or (tensor.name == "video" and len(values) != 1):
        raise BadRequest(f"expected {V2_FORM}; received shape {list(values.shape)}")
    encoded = [_binary(value, f"element {n}") for n, value in enumerate(values)]
    return EncodedVideo(encoded[0]) if tensor.name == "video" else EncodedFrames(tuple(encoded))


def v1_answer(prediction: Prediction) -> dict:
    """What V1 answers for one video."""
    return {
        "classes": list(prediction.classes),
        "scores": prediction.scores.tolist(),
        "sci": prediction.sci.tolist(),
        "num_frames": prediction.num_frames,
    }


def v2_answer(prediction: Prediction, request: InferRequest, model: str) -> InferResponse:
    """What V2 answers: `classes` BYTES [N], best first, `scores` FP32 [N], `sci` FP32 [M, C]."""
    classes = np.array([name.encode() for name in prediction.classes], object)
    tensors = {
        "classes": ("BYTES", classes),
        "scores": ("FP32", prediction.scores.astype(np.float32)),
        "sci": ("FP32", prediction.sci.astype(np.float32)),
    }
    outputs = []
    for name, (datatype, values) in tensors.items():
        output = InferOutput(name=name, shape=list(values.shape), datatype=datatype)
        output.set_data_from_numpy(values, binary_data=request.from_grpc)
        outputs.append(output)
    return InferResponse(response_id=request.id or "", model_name=model, infer_outputs=outputs)


async def _form_files(body: bytes, headers: Mapping[str, str], limits: Limits) -> list[Video]:
    async def stream():
        yield body

    try:
        parser = MultiPartParser(Headers(headers), stream(), max_files=limits.videos, max_fields=8)
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise BadRequest("the form cannot be read, or holds too many fields") from error
    files = [value for value in form.getlist("video") if isinstance(value, UploadFile)]
    try:
        if not files:
            raise BadRequest("the form holds no file in a field `video`")
        return [EncodedVideo(await file.read()) for file in files]
    finally:
        await form.close()


def _instance(instance, where: str) -> Video:
    if not isinstance(instance, dict) or set(instance) not in ({"frames"}, {"video"}):
        raise BadRequest(f"{where}: expected an object with either `frames` or `video`")
    if "video" in instance:
        return EncodedVideo(_b64(instance["video"], f"{where}: `video`"))
    frames = instance["frames"]
    if not isinstance(frames, list) or not frames:
        raise BadRequest(f"{where}: `frames` must be a list of at least one frame")
    return EncodedFrames(tuple(_b64(f, f"{where}: frame {n}") for n, f in enumerate(frames)))


def _b64(value, where: str) -> bytes:
    if not isinstance(value, dict) or set(value) != {"b64"}:
        raise BadRequest(f'{where}: expected {{"b64": the bytes of the file in base64}}')
    return _binary(value["b64"], where)


def _binary(value: str | bytes, where: str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadRequest(f"{where}: is not base64") from error


def _pixels(tensor, limits: Limits) -> np.ndarray:
    pixels = _tensor(tensor)
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        raise BadRequest(f"expected {V2_FORM}; received shape {list(pixels.shape)}")
    num_frames, height, width, _ = pixels.shape
    if num_frames > limits.frames or height * width > limits.pixels:
        raise TooLarge(
            f"{num_frames} frames of {width}x{height} pixels; at most {limits.frames} of "
            f"{limits.pixels} are taken"
        )
    return pixels


def _tensor(tensor) -> np.ndarray:
    try:
        return tensor.as_numpy()
    except Exception as error:  # whatever a tensor that is not one does to KServe's reader
        raise BadRequest("the data is not of the datatype and shape that are named") from error
