"""The real server, asked over every protocol: its answers are those of `predict_video`."""

import base64
import gzip
import json
import zlib

import pytest

pytest.importorskip("kserve")

import grpc
import numpy as np
from kserve import InferInput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from PIL import Image

from tests.bad_videos import truncated
from tests.videos import encoded

SECRET = "raw-bytes-of-a-request"  # must turn up nowhere
V1 = "/v1/models/tiny run:predict"
V2 = "/v2/models/tiny run/infer"
LENGTH = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def expected(classifier, frames):
    return classifier.predict_video(frames)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pngs(frames: np.ndarray) -> list[bytes]:
    return [encoded(frame) for frame in frames]


def is_expected(answer: dict, expected) -> bool:
    """Whether the answer, its arrays as they came, is the prediction."""
    assert tuple(answer["classes"]) == expected.classes
    for name in ("scores", "sci"):
        np.testing.assert_allclose(answer[name], getattr(expected, name), atol=1e-5)
    return True


def from_v1(response) -> dict:
    assert response.status_code == 200, response.text
    (prediction,) = response.json()["predictions"]
    assert prediction["num_frames"] == 35
    return prediction


def from_v2(response) -> dict:
    assert response.status_code == 200, response.text
    return {
        output["name"]: np.reshape(output["data"], output["shape"])
        for output in response.json()["outputs"]
    }


def from_grpc(response) -> dict:
    answer = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.datatype == "BYTES":
            answer[output.name] = byte_elements(raw)
        else:
            assert output.datatype == "FP32"
            answer[output.name] = np.frombuffer(raw, "<f4").reshape(output.shape)
    return answer


def byte_elements(raw: bytes) -> list[str]:
    elements = []
    while raw:
        end = 4 + int.from_bytes(raw[:4], "little")
        elements.append(raw[4:end].decode())
        raw = raw[end:]
    return elements


def tensor(name: str, datatype: str, shape: list[int], **more) -> dict:
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape, **more}]}


def test_v1_takes_frames_and_videos(client, frames, video, expected):
    instances = [
        {"frames": [{"b64": base64_of(png)} for png in pngs(frames)]},
        {"video": {"b64": base64_of(video)}},
    ]
    response = client.post(V1, json={"instances": instances})
    predictions = response.json()["predictions"]
    assert [is_expected(prediction, expected) for prediction in predictions] == [True, True]


@pytest.mark.parametrize("kind", ["form", "file", "JSON that names its characters"])
def test_v1_takes_a_video(client, video, expected, kind):
    json_type = {"Content-Type": "Application/JSON; charset=utf-8"}
    body = json.dumps({"instances": [{"video": {"b64": base64_of(video)}}]})
    request = {
        "form": {"files": {"video": ("../../é.avi", video)}, "data": {"other": "field"}},
        "file": {"content": video, "headers": {"Content-Type": "video/x-msvideo"}},
        "JSON that names its characters": {"content": body, "headers": json_type},
    }[kind]
    assert is_expected(from_v1(client.post(V1, **request)), expected)


def test_v2_takes_pixels(client, classifier, frames):
    short = frames[:3, :70, :80]
    for data in (short.ravel().tolist(), short.tolist()):
        body = tensor("frames", "UINT8", list(short.shape), data=data)
        response = client.post(V2, json={"id": "seven", **body})
        assert response.json()["id"] == "seven"
        assert is_expected(from_v2(response), classifier.predict_video(short))


def inference(name: str, data: np.ndarray | list[bytes]) -> InferRequest:
    """A request of KServe's own client."""
    array = data if isinstance(data, np.ndarray) else np.array(data, object)
    datatype = "UINT8" if array.dtype == np.uint8 else "BYTES"
    given = InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array)
    return InferRequest(model_name="tiny run", infer_inputs=[given], request_id="seven")


def test_answers_tell_of_a_video_that_decodes_in_part(client, stub, classifier, tmp_path):
    file = truncated(tmp_path / "cut.avi")
    expected = classifier.predict_video(file)
    assert expected.incomplete
    told = {name: getattr(expected, name) for name in ("num_frames", "incomplete", "rejected")}
    assert told["rejected"] is True
    (answer,) = client.post(V1, files={"video": file.read_bytes()}).json()["predictions"]
    assert is_expected(answer, expected)
    assert {name: answer[name] for name in told} == told
    assert answer["novelty"] == pytest.approx(expected.novelty, abs=1e-5)

    body = tensor("video", "BYTES", [1], data=[base64_of(file.read_bytes())])
    assert client.post(V2, json=body).json()["parameters"] == told
    parameters = stub.ModelInfer(inference("video", [file.read_bytes()]).to_grpc()).parameters
    assert parameters["num_frames"].int64_param == expected.num_frames
    assert parameters["incomplete"].string_param == expected.incomplete
    assert parameters["rejected"].bool_param


def test_v2_takes_base64(client, frames, expected):
    data = [base64_of(png) for png in pngs(frames)]
    response = client.post(V2, json=tensor("frames", "BYTES", [len(data)], data=data))
    assert is_expected(from_v2(response), expected)


@pytest.mark.parametrize("kind", ["pixels", "pngs", "video"])
def test_kserves_client(client, stub, frames, video, expected, kind):
    data = {"pixels": frames, "pngs": pngs(frames), "video": [video]}[kind]
    request = inference("video" if kind == "video" else "frames", data)
    body, json_length = request.to_rest()
    headers = {"Content-Type": "application/octet-stream", LENGTH: str(json_length)}
    assert is_expected(from_v2(client.post(V2, content=body, headers=headers)), expected)
    response = stub.ModelInfer(request.to_grpc())
    assert (response.id, response.model_name) == ("seven", "tiny run")
    assert is_expected(from_grpc(response), expected)


def test_health_and_metadata(client, stub):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v1/models").json() == {"models": ["tiny run"]}
    assert client.get("/v1/models/tiny run").json() == {"name": "tiny run", "ready": True}
    assert client.get("/v2/models/tiny run/ready").json() == {"name": "tiny run", "ready": True}
    outputs = client.get("/v2/models/tiny run").json()["outputs"]
    shapes = {output["name"]: output["shape"] for output in outputs}
    assert shapes == {"classes": [4], "scores": [4], "sci": [2, 18]}
    assert stub.ServerLive(messages.ServerLiveRequest()).live
    assert stub.ModelReady(messages.ModelReadyRequest(name="tiny run")).ready
    metadata = stub.ModelMetadata(messages.ModelMetadataRequest(name="tiny run"))
    assert [x.name for x in metadata.outputs] == ["classes", "scores", "sci"]
    metrics = client.get("/metrics").text
    assert 'request_predict_seconds_count{model_name="tiny run"}' in metrics
    assert "\nfstcn_requests_in_work 0.0\n" in metrics


def v1(instance) -> dict:
    return {"url": V1, "json": {"instances": [instance]}}


def v2(*arguments, **more) -> dict:
    return {"url": V2, "json": tensor(*arguments, **more)}


def raw(url: str, content, **headers: str) -> dict:
    return {"url": url, "content": content, "headers": headers}


PNG = base64_of(pngs(np.zeros((1, 8, 9, 3), np.uint8))[0])
OTHER_SIZE = base64_of(pngs(np.zeros((1, 9, 8, 3), np.uint8))[0])
LARGE = base64_of(encoded(Image.new("L", (20_001, 1))))
HALF_JPEG = base64_of(encoded(Image.effect_noise((99, 99), 90), "jpeg")[:2000])
EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "x", "ce-type": "y"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
TWO_INPUTS = {"inputs": [{"name": "x", "datatype": "", "shape": []}] * 2}
THREE_VIDEOS = {"instances": [{"frames": [{"b64": PNG}]}] * 3}
CUT = json.dumps(tensor("video", "BYTES", [1]))


def wanted(outputs: list) -> dict:
    """A request for these outputs."""
    named = [{"name": output} for output in outputs]
    body = tensor("frames", "UINT8", [1, 1, 1, 3], data=[0, 0, 0])
    return {"url": V2, "json": {**body, "outputs": named}}


BAD = {
    "not JSON": (raw(V1, SECRET), 400, "not JSON"),
    "half JSON": (raw(V2, b'{"inputs": ['), 400, "not JSON"),
    "deep JSON": (raw(V1, b"[" * 100_000), 400, "not JSON"),
    "NaN": (raw(V1, b'{"instances": [NaN]}'), 400, "not JSON"),
    "half a character": (raw(V2, b'{"id": "\\ud800"}'), 400, "not JSON"),
    "no instances": ({"url": V1, "json": {SECRET: 1}}, 400, 'expected {"instances"'),
    "no instance": ({"url": V1, "json": {"instances": []}}, 400, 'expected {"instances"'),
    "a list": ({"url": V1, "json": [SECRET]}, 400, 'expected {"instances"'),
    "no field": (v1({}), 400, "instance 0: expected either `frames`"),
    "another field": (v1({"path": SECRET}), 400, "instance 0: expected either `frames`"),
    "zero frames": (v1({"frames": []}), 400, "instance 0: expected either `frames`"),
    "not base64": (v1({"frames": [{"b64": SECRET}]}), 400, "frame 0: is not base64"),
    "no b64": (v1({"video": SECRET}), 400, '`video`: expected {"b64"'),
    "no image": (v1({"frames": [{"b64": "AAAA"}]}), 400, "frame 0: is no JPEG or PNG"),
    "mixed sizes": (v1({"frames": [{"b64": PNG}, {"b64": OTHER_SIZE}]}), 400, "frame 1 is 8x9 pix"),
    "half a JPEG": (v1({"frames": [{"b64": HALF_JPEG}]}), 400, "frame 0: is damaged"),
    "large image": (v1({"frames": [{"b64": LARGE}]}), 413, "20001x1 pixels"),
    "many frames": (v1({"frames": [{"b64": PNG}] * 91}), 413, "91 frames; at most 90"),
    "many videos": ({"url": V1, "json": THREE_VIDEOS}, 413, "3 videos in a request; at most 2"),
    "no video": (v1({"video": {"b64": base64_of(b"text" * 99)}}), 400, "cannot be opened"),
    "empty video": (v1({"video": {"b64": ""}}), 400, "is empty"),
    "long": (raw(V1, b" " * 4_000_001), 413, "longer than 4000000 bytes"),
    "long chunks": (raw(V1, (b" " * 10**6 for _ in range(5))), 413, "longer than"),
    "text": (raw(V1, "x", **{"Content-Type": "text/plain"}), 400, "type"),
    "form without files": ({"url": V1, "data": {SECRET: "1"}, "files": {"x": b""}}, 400, "no file"),
    "broken form": (raw(V1, SECRET, **FORM), 400, "the form cannot be read"),
    "cloud event": (raw(V1, SECRET, **EVENT), 400, "not JSON"),
    "rank 3": (v2("frames", "UINT8", [1, 8, 3], data=[0] * 24), 400, "another name, datatype or"),
    "4 channels": (v2("frames", "UINT8", [1, 2, 2, 4], data=[0] * 16), 400, "another name"),
    "FP32": (v2("frames", "FP32", [1, 1, 1, 3], data=[0, 0, 0]), 400, "another name, datatype"),
    "another name": (v2(SECRET, "UINT8", [1, 1, 1, 3], data=[0, 0, 0]), 400, "another name"),
    "two inputs": ({"url": V2, "json": TWO_INPUTS}, 400, "expected one input"),
    "zero shape": (v2("frames", "UINT8", [0, 8, 8, 3], data=[]), 400, "positive whole numbers"),
    "true shape": (v2("frames", "BYTES", [True], data=[PNG]), 400, "positive whole numbers"),
    "short data": (v2("frames", "UINT8", [1, 2, 2, 3], data=[0]), 400, "but 1 numbers"),
    "300": (v2("frames", "UINT8", [1, 1, 1, 3], data=[0, 0, 300]), 400, "from 0 to 255"),
    "1.5": (v2("frames", "UINT8", [1, 1, 1, 3], data=[0, 0, 1.5]), 400, "from 0 to 255"),
    "ragged": (v2("frames", "UINT8", [1, 1, 1, 3], data=[[0, [0, 1]]]), 400, "ragged"),
    "empty data": (v2("frames", "UINT8", [1, 1, 1, 3], data=[]), 400, "but 0 numbers"),
    "strings": (v2("frames", "UINT8", [1, 1, 1, 3], data=["0"] * 3), 400, "from 0 to 255"),
    "large shape": (v2("frames", "UINT8", [1, 10**9, 10**9, 3], data=[0]), 413, "at most"),
    "two videos": (v2("video", "BYTES", [2], data=[PNG] * 2), 400, "another name, datatype or"),
    "number": (v2("video", "BYTES", [1], data=[7]), 400, "strings in base64"),
    "header length": (raw(V2, b"{}", **{LENGTH: SECRET}), 400, "no length within the body"),
    "endless length": (raw(V2, b"{}", **{LENGTH: "9" * 5000}), 400, "no length within the body"),
    "cut": (raw(V2, f"{CUT}\x09\0\0\0x", **{LENGTH: str(len(CUT))}), 400, "ends within an element"),
    "unknown model": ({"url": "/v1/models/other:predict", "json": {}}, 404, "unknown model"),
    "unknown model, V2": ({"url": "/v2/models/other/infer", "json": {}}, 404, "unknown model"),
    "explain": ({"url": "/v1/models/tiny run:explain", "json": {}}, 404, "no explainer"),
    "version": ({"url": "/v2/models/tiny run/versions/2/infer", "json": {}}, 404, "one version, 1"),
    "another output": (wanted(["logits"]), 400, "may name each of classes, scores, sci once"),
    "an output twice": (wanted(["sci", "sci"]), 400, "may name each of"),
    "nameless outputs": (wanted([7]), 400, '`outputs` must be a list of {"name": NAME}'),
    "unload": ({"url": "/v2/repository/models/tiny run/unload"}, 400, "not loaded or unloaded"),
    "nowhere": ({"url": f"/{SECRET}"}, 404, "Not Found"),
    "method": ({"url": "/v2/health/live"}, 405, "Method Not Allowed"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_told_what_was_wrong(client, log, name):
    request, status, reason = BAD[name]
    response = client.post(**request)
    assert response.status_code == status, response.text
    assert reason in response.json()["error"]
    assert set(response.json()) == {"error"}
    for text in (response.text, log.read_text()):
        assert SECRET not in text
        assert "Traceback" not in text


@pytest.mark.parametrize(
    ("model", "data", "status", "reason"),
    [
        ("other", [], grpc.StatusCode.NOT_FOUND, "unknown model"),
        ("tiny run", None, grpc.StatusCode.INVALID_ARGUMENT, "expected one input"),
        ("tiny run", [], grpc.StatusCode.INVALID_ARGUMENT, "but 0 elements"),
        ("tiny run", [b"x"], grpc.StatusCode.INVALID_ARGUMENT, "cannot be opened"),
        ("tiny run", [b"x" * 4_000_001], grpc.StatusCode.RESOURCE_EXHAUSTED, "larger"),
    ],
    ids=["unknown model", "no input", "no data", "no video", "long"],
)
def test_bad_grpc_requests(stub, model, data, status, reason):
    request = messages.ModelInferRequest(model_name=model)
    if data is not None:
        given = request.inputs.add(name="video", datatype="BYTES", shape=[1])
        given.contents.bytes_contents.extend(data)
    with pytest.raises(grpc.RpcError, match=reason) as raised:
        stub.ModelInfer(request)
    assert raised.value.code() == status


def test_liveness_of_v1_and_the_page_share_an_address(client):
    for accept in ("*/*", "application/json"):
        answer = client.get("/", headers={"Accept": accept})
        assert answer.json() == {"status": "alive"}
        assert answer.headers["Vary"] == "Accept"


def test_a_version_is_served_and_told(client, stub, frames):
    versioned = V2.replace("/infer", "/versions/1")
    metadata = client.get(versioned).json()
    assert (metadata["versions"], metadata["platform"]) == (["1"], "keras")
    assert client.get(f"{versioned}/ready").json() == {"name": "tiny run", "ready": True}
    body = tensor("frames", "UINT8", [1, 70, 80, 3], data=frames[0, :70, :80].ravel().tolist())
    assert client.post(f"{versioned}/infer", json=body).json()["model_version"] == "1"
    other = versioned.replace("/1", "/2")
    assert [client.get(f"{other}{end}").status_code for end in ("", "/ready")] == [404, 404]
    metadata = stub.ModelMetadata(messages.ModelMetadataRequest(name="tiny run", version="1"))
    assert (list(metadata.versions), metadata.platform) == (["1"], "keras")
    for call, request in (
        (stub.ModelMetadata, messages.ModelMetadataRequest),
        (stub.ModelReady, messages.ModelReadyRequest),
    ):
        with pytest.raises(grpc.RpcError, match="one version, 1") as raised:
            call(request(name="tiny run", version="2"))
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def test_outputs_are_those_that_are_asked_for(client, stub, frames, classifier):
    expected = classifier.predict_video(frames[:1])
    request = inference("frames", pngs(frames[:1]))
    message = request.to_grpc()
    message.outputs.add(name="sci")
    message.outputs.add(name="classes")
    answer = stub.ModelInfer(message)
    assert [output.name for output in answer.outputs] == ["sci", "classes"]
    body, length = request.to_rest()
    asked = json.loads(body[:length])
    asked["outputs"] = [{"name": "scores", "parameters": {"binary_data": True}}, {"name": "sci"}]
    text = json.dumps(asked).encode()
    response = client.post(V2, content=text + body[length:], headers={LENGTH: str(len(text))})
    length = int(response.headers[LENGTH])
    scores, sci = json.loads(response.content[:length])["outputs"]
    assert (scores["name"], sci["name"]) == ("scores", "sci")
    assert scores["parameters"] == {"binary_data_size": 16}
    raw = np.frombuffer(response.content[length:], "<f4")
    np.testing.assert_allclose(raw, expected.scores, atol=1e-5)
    np.testing.assert_allclose(np.reshape(sci["data"], sci["shape"]), expected.sci, atol=1e-5)


def test_grpc_parses_no_long_message_but_those_of_inference(stub):
    name = "x" * 70_000
    with pytest.raises(grpc.RpcError, match="longer than 65536 bytes") as raised:
        stub.ModelReady(messages.ModelReadyRequest(name=name))
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_grpc_messages_may_be_compressed(stub, video, expected, compression):
    request = inference("video", [video]).to_grpc()
    assert is_expected(from_grpc(stub.ModelInfer(request, compression=compression)), expected)
    request = inference("video", [bytes(4_000_001)]).to_grpc()
    with pytest.raises(grpc.RpcError, match="larger than max") as raised:
        stub.ModelInfer(request, compression=compression)
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_get_does_not_predict(client):
    response = client.get(V1)
    assert (response.status_code, response.json()) == (405, {"error": "Method Not Allowed"})


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_bodies_may_be_compressed(client, video, expected, encoding):
    compress = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding]
    headers = {"Content-Type": "video/x-msvideo", "Content-Encoding": encoding}
    response = client.post(V1, content=compress(video), headers=headers)
    assert is_expected(from_v1(response), expected)


@pytest.mark.parametrize(
    ("content", "encoding", "status", "reason"),
    [
        (gzip.compress(bytes(4_000_001)), "gzip", 413, "longer than 4000000 bytes once"),
        (gzip.compress(b"{}")[:-9], "gzip", 400, "is cut"),
        (b"{}", "gzip", 400, "is damaged"),
        (b"{}", "br", 415, "gzip or deflate"),
    ],
    ids=["long", "cut", "damaged", "brotli"],
)
def test_compressed_bodies_that_are_refused(client, content, encoding, status, reason):
    response = client.post(V1, content=content, headers={"Content-Encoding": encoding})
    assert response.status_code == status
    assert reason in response.json()["error"]


def test_grpc_takes_no_orders(stub):
    with pytest.raises(grpc.RpcError, match="not loaded or unloaded"):
        stub.RepositoryModelUnload(messages.RepositoryModelUnloadRequest(model_name="tiny run"))
