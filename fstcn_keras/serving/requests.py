"""Reads requests as they arrive, and the videos that they hold, still encoded.

Only the decoding processes look into a body: whatever one does to its reader, it does it there.
"""

import base64
import binascii
import itertools
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from python_multipart.multipart import File, create_form_parser, parse_options_header

from fstcn_keras.serving.limits import Limits
from fstcn_keras.serving.refusals import BadRequest, TooLarge, UnknownModel

V1_FORM = (
    '{"instances": [{"frames": [{"b64": JPEG or PNG}, ...]} or {"video": {"b64": FILE}}, ...]}'
)
OUTPUTS = ("classes", "scores", "sci")  # by V2
V2_FORM = "one input: `frames` BYTES [T], `frames` UINT8 [T, H, W, 3] or `video` BYTES [1]"
MAX_LISTS = 2_000_000  # of a JSON body: nested pixels, three numbers each
OTHER_PARTS = 100  # of a form, beside its videos; and of a JSON body, beside its frames


@dataclass(frozen=True)
class V1Request:
    """Holds a body by V1: JSON of the form `V1_FORM`, a form with files `video`, or a video file.

    Example:
        >>> V1Request(b'{"instances": []}', "application/json").content_type
        'application/json'
    """

    body: bytes
    content_type: str


@dataclass(frozen=True)
class V2Request:
    """Holds a body by V2 over REST, of the form `V2_FORM`.

    Example:
        >>> V2Request(b'{"inputs": []}', json_length=None).body
        b'{"inputs": []}'

    Attributes:
        body: JSON, in which BYTES are base64; or JSON and after it the tensor's raw data.
        json_length: bytes of the JSON as the header tells, if there is raw data.
    """

    body: bytes
    json_length: str | None


@dataclass(frozen=True)
class Tensor:
    """Holds the input of a request by V2, as gRPC brings it.

    Example:
        >>> Tensor("video", "BYTES", [1], [b"..."]).shape
        [1]

    Attributes:
        name: `frames` or `video`.
        datatype: `BYTES` or `UINT8`.
        shape: the lengths of its axes.
        data: raw; or a list of its elements, those of BYTES as bytes or base64.
    """

    name: str
    datatype: str
    shape: list[int]
    data: bytes | list


@dataclass(frozen=True)
class GrpcRequest:
    """Holds a message `ModelInferRequest` by V2 over gRPC, not yet parsed.

    Example:
        >>> GrpcRequest(b"", model_name="actions", version="1").version
        '1'

    Attributes:
        message: as it came.
        model_name: the only one that it may ask for.
        version: the only one of the model.
    """

    message: bytes
    model_name: str
    version: str


Request = V1Request | V2Request | GrpcRequest | Tensor


@dataclass(frozen=True)
class AnswerForm:
    """Says what an answer by V2 is to hold.

    Example:
        >>> AnswerForm(id="7").outputs
        (('classes', False), ('scores', False), ('sci', False))

    Attributes:
        id: what it repeats; empty for none.
        outputs: names, and whether the data comes raw, after the JSON.
    """

    id: str = ""
    outputs: tuple[tuple[str, bool], ...] = tuple((name, False) for name in OUTPUTS)

    @classmethod
    def of(cls, request_id: str, names: Sequence[str], raw: Sequence[bool]) -> "AnswerForm":
        """Makes it of the outputs that a request names: of none for all.

        Raises:
            BadRequest: if there is no such output, or one is named twice.
        """
        if not set(names) <= set(OUTPUTS) or len(set(names)) < len(names):
            raise BadRequest(f"`outputs` may name each of {', '.join(OUTPUTS)} once")
        return cls(request_id, tuple(zip(names, raw, strict=True)))


@dataclass(frozen=True)
class EncodedVideo:
    """Holds the bytes of a video file.

    Example:
        >>> EncodedVideo(b"RIFF").data
        b'RIFF'
    """

    data: bytes


@dataclass(frozen=True)
class EncodedFrames:
    """Holds the frames of a video one by one, as the bytes of JPEG or PNG files.

    Example:
        >>> len(EncodedFrames((b"...", b"...")).images)
        2
    """

    images: tuple[bytes, ...]


Video = EncodedVideo | EncodedFrames | np.ndarray  # uint8 (T, H, W, 3)


def read_request(request: Request, limits: Limits) -> tuple[list[Video], AnswerForm]:
    """Returns the videos of a request, and what its answer is to hold.

    Example:
        >>> body = b'{"instances": [{"video": {"b64": "UklGRg=="}}]}'
        >>> read_request(V1Request(body, "application/json"), Limits())[0]
        [EncodedVideo(data=b'RIFF')]

    Raises:
        BadRequest: saying what is wrong with it, without a word of what was sent.
        TooLarge: the same, beyond the limits.
    """
    if isinstance(request, Tensor):
        return [_tensor_video(request, limits)], AnswerForm()
    if isinstance(request, V1Request):
        videos = _v1_videos(request, limits)
        if len(videos) > limits.videos:
            raise TooLarge(f"{len(videos)} videos in a request; at most {limits.videos} are taken")
        return videos, AnswerForm()
    if isinstance(request, GrpcRequest):
        tensor, form = _grpc_tensor(request)
    else:
        tensor, form = _v2_tensor(request, limits)
    return [_tensor_video(tensor, limits)], form


def _v1_videos(request: V1Request, limits: Limits) -> list[Video]:
    kind = request.content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _form_files(request, limits)
    if kind.startswith("video/"):
        return [EncodedVideo(request.body)]
    if kind not in ("", "application/json"):
        raise BadRequest(
            "the content type must be application/json, multipart/form-data with a file "
            "`video`, or that of a video"
        )
    match _json(request.body, limits):
        case {"instances": [_, *_] as instances}:
            return [_instance(instance, f"instance {n}") for n, instance in enumerate(instances)]
    raise BadRequest(f"expected {V1_FORM}")


def _form_files(request: V1Request, limits: Limits) -> list[Video]:
    files: list[File] = []
    headers = {"Content-Type": request.content_type.encode("latin-1", "replace")}
    in_memory = {"MAX_MEMORY_FILE_SIZE": math.inf}
    boundary = parse_options_header(request.content_type)[1].get(b"boundary")
    if not boundary:
        raise BadRequest("the form's content type names no boundary: boundary=TEXT must follow it")
    if request.body.count(b"--" + boundary) > limits.videos + OTHER_PARTS:
        raise TooLarge(f"the form has more than {limits.videos + OTHER_PARTS} parts")
    try:
        parser = create_form_parser(headers, lambda field: None, files.append, in_memory)
        parser.write(request.body)
        parser.finalize()
    except Exception as error:  # whatever a malformed form does to its reader
        raise BadRequest("the form cannot be read") from error
    videos = [file.file_object for file in files if file.field_name == b"video"]
    if not videos:
        raise BadRequest("the form holds no file in a field `video`")
    for video in videos:
        video.seek(0)
    return [EncodedVideo(video.read()) for video in videos]


def _instance(instance: Any, where: str) -> Video:
    match instance:
        case {"video": video} if len(instance) == 1:
            return EncodedVideo(_b64(video, f"{where}: `video`"))
        case {"frames": [_, *_] as frames} if len(instance) == 1:
            return EncodedFrames(
                tuple(_b64(f, f"{where}: frame {n}") for n, f in enumerate(frames))
            )
    raise BadRequest(f"{where}: expected either `frames`, a list of at least one, or `video`")


def _b64(value: Any, where: str) -> bytes:
    match value:
        case {"b64": str(text)} if len(value) == 1:
            return _from_base64(text, where)
    raise BadRequest(f'{where}: expected {{"b64": the bytes of the file in base64}}')


def _from_base64(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadRequest(f"{where}: is not base64") from error


def _grpc_tensor(request: GrpcRequest) -> tuple[Tensor, AnswerForm]:
    from fstcn_keras.serving.grpc_messages import parsed  # for those who speak gRPC

    message = parsed(request.message)
    if message.model_name != request.model_name:
        raise UnknownModel(f"unknown model: this server has {request.model_name}")
    if message.model_version not in ("", request.version):
        raise UnknownModel(f"the model has one version, {request.version}")
    if len(message.inputs) != 1 or len(message.raw_input_contents) > 1:
        raise BadRequest(f"expected {V2_FORM}")
    (given,) = message.inputs
    data = (*message.raw_input_contents, None)[0]
    if data is not None and given.contents.ListFields():
        raise BadRequest("data must be sent in `contents` or in `raw_input_contents`, not in both")
    if data is None:
        if given.contents.uint_contents:
            raise BadRequest("UINT8 data must be sent in `raw_input_contents`")
        data = list(given.contents.bytes_contents)
    names = [output.name for output in message.outputs] or OUTPUTS
    form = AnswerForm.of(message.id, names, [True] * len(names))
    return Tensor(given.name, given.datatype, list(given.shape), data), form


def _v2_tensor(request: V2Request, limits: Limits) -> tuple[Tensor, AnswerForm]:
    length = len(request.body)
    if request.json_length is not None:
        digits = request.json_length.lstrip("0") or "0"
        # int() raises for thousands of digits
        is_short = request.json_length.isdecimal() and len(digits) <= len(str(length))
        if not is_short or int(digits) > length:
            raise BadRequest("Inference-Header-Content-Length is no length within the body")
        length = int(digits)
    match _json(request.body[:length], limits):
        case {
            "inputs": [{"name": str(name), "datatype": str(kind), "shape": [*shape]} as given],
            **rest,
        }:
            data = given.get("data")
            if data is None:  # absent, as all that is null
                data = _raw_data(given, request.body[length:])
            request_id = "" if rest.get("id") is None else rest["id"]
            if not isinstance(request_id, str):
                raise BadRequest("`id` must be a string")
            if isinstance(data, bytes | list):
                return Tensor(name, kind, shape, data), _v2_form(request_id, rest)
    raise BadRequest(f"expected {V2_FORM}")


def _raw_data(given: dict, data: bytes) -> bytes:
    """Returns what follows the JSON, of which the tensor may tell the length."""
    parameters = given.get("parameters")
    told = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if told is not None and told != len(data):
        raise BadRequest(f"{len(data)} bytes follow the JSON: `binary_data_size` is another number")
    return data


def _v2_form(request_id: str, rest: dict) -> AnswerForm:
    """Reads the outputs that a request asks for, and which of them are to come raw."""
    raw = _parameter(rest, "binary_data_output")
    match rest.get("outputs"):
        case None | []:
            return AnswerForm.of(request_id, OUTPUTS, [raw] * len(OUTPUTS))
        case [*wanted] if all(
            isinstance(output, dict) and isinstance(output.get("name"), str) for output in wanted
        ):
            return AnswerForm.of(
                request_id,
                [output["name"] for output in wanted],
                [_parameter(output, "binary_data", raw) for output in wanted],
            )
    raise BadRequest('`outputs` must be a list of {"name": NAME}')


def _parameter(holder: dict, name: str, default: bool = False) -> bool:
    parameters = holder.get("parameters", {})
    return isinstance(parameters, dict) and parameters.get(name, default) is True


def _tensor_video(tensor: Tensor, limits: Limits) -> Video:
    shape = tensor.shape
    if not all(type(length) is int and length > 0 for length in shape):
        raise BadRequest("the shape must consist of positive whole numbers")
    match tensor.name, tensor.datatype, shape:
        case "frames", "UINT8", [_, _, _, 3]:
            return _pixels(tensor, limits)
        case ("frames", "BYTES", [_]) | ("video", "BYTES", [1]):
            elements = _elements(tensor.data)
            if len(elements) != shape[0]:
                raise BadRequest(f"shape {shape}, but {len(elements)} elements")
            is_video = tensor.name == "video"
            return EncodedVideo(elements[0]) if is_video else EncodedFrames(tuple(elements))
    raise BadRequest(f"expected {V2_FORM}; received another name, datatype or shape")


def _pixels(tensor: Tensor, limits: Limits) -> np.ndarray:
    num_frames, height, width, channels = tensor.shape
    if num_frames > limits.frames or height * width > limits.pixels:
        raise TooLarge(
            f"{num_frames} frames of {width}x{height} pixels; at most {limits.frames} of "
            f"{limits.pixels} are taken"
        )
    data = tensor.data
    flat = data if isinstance(data, bytes) else _flat(data, tensor.shape)
    if len(flat) != num_frames * height * width * channels:
        raise BadRequest(f"shape {tensor.shape}, but {len(flat)} numbers")
    if isinstance(flat, list):
        if not set(map(type, flat)) <= {int}:
            raise BadRequest("the data of UINT8 must be whole numbers from 0 to 255")
        try:
            flat = bytes(flat)
        except ValueError as error:
            raise BadRequest("the data of UINT8 must be whole numbers from 0 to 255") from error
    return np.frombuffer(flat, np.uint8).reshape(tensor.shape)


def _flat(data: list, shape: list[int]) -> list:
    """Returns the numbers of data that are flat, or nested as the shape has it."""
    if data and isinstance(data[0], list):
        data = [data]
        for length in shape:
            if not all(isinstance(inner, list) and len(inner) == length for inner in data):
                raise BadRequest(f"the data is ragged, or nested in another way than {shape}")
            data = list(itertools.chain.from_iterable(data))
    return data


def _elements(data: bytes | list) -> list[bytes]:
    """Splits a BYTES tensor; raw, each element follows its length, a little-endian uint32."""
    if isinstance(data, bytes):
        elements, offset = [], 0
        while offset < len(data):
            if offset + 4 > len(data):
                raise BadRequest("the raw data ends within an element")
            (length,) = struct.unpack_from("<I", data, offset)
            offset += 4 + length
            elements.append(data[offset - length : offset])
        if offset != len(data):
            raise BadRequest("the raw data ends within an element")
        return elements
    if not all(isinstance(value, bytes | str) for value in data):
        raise BadRequest("the data of BYTES must be strings in base64")
    return [
        value if isinstance(value, bytes) else _from_base64(value, f"element {number}")
        for number, value in enumerate(data)
    ]


def _json(text: bytes, limits: Limits) -> Any:
    """Parses a body, if its items, which take far more memory than their text, are few enough."""
    frames = limits.videos * limits.frames + OTHER_PARTS
    for sign, most, what in (
        (b"{", frames, "objects"),
        (b"[", MAX_LISTS, "lists"),
        (b'"', 4 * frames, "strings"),  # a key and its value, of two quotes each
        (b",", limits.request_bytes // 2, "values"),
    ):
        if text.count(sign) > most:
            raise TooLarge(f"the JSON holds too many {what}")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("Not enough memory"):
            raise MemoryError from error
        raise BadRequest(f"the body is not JSON: expected {V1_FORM}, or {V2_FORM}") from error
