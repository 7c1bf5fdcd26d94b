"""What an operator sees of the server: metrics, the access log, and the dashboard in `deploy/`."""

import asyncio
import contextlib
import io
import json
import re
import socket
from types import SimpleNamespace

import pytest

pytest.importorskip("kserve")

import grpc
import httpx
from fastapi import FastAPI
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from prometheus_client.parser import text_string_to_metric_families

from fstcn_keras.serving import connections, observation
from fstcn_keras.serving.arrivals import Arrivals
from fstcn_keras.serving.http import build_app, http_server
from fstcn_keras.serving.kserve_model import ClassifierDataPlane, ClassifierModel
from fstcn_keras.serving.limits import Limits
from fstcn_keras.serving.metrics import STAGES, Metrics
from fstcn_keras.serving.observation import AccessLog
from tests.processes import HANG_S, ROOT
from tests.servers import own_lines

V1 = "/v1/models/tiny run:predict"
SECRET = "raw-bytes-of-a-request"
VIDEO = {"Content-Type": "video/x-msvideo"}
GRPC = ("protocol", "grpc")


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


def samples(client) -> dict[tuple, float]:
    """Each sample by its name and its labels, `model` and `version` checked and left out."""
    found = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            labels = dict(sample.labels)
            if sample.name.startswith("fstcn_") and "version" in labels:
                told = labels.pop("model"), labels.pop("version")
                assert told == ("tiny run", "1"), sample
            found[sample.name, *sorted(labels.items())] = sample.value
    return found


def growth(client, ask) -> dict[tuple, float]:
    """How much each sample grows while something is asked."""
    before = samples(client)
    ask()
    return {key: value - before.get(key, 0) for key, value in samples(client).items()}


def test_an_answer_is_counted_and_timed(client, video):
    grown = growth(client, lambda: client.post(V1, content=video, headers=VIDEO))
    assert grown["fstcn_requests_total", ("protocol", "v1"), ("status", "200")] == 1
    for stage in STAGES:
        assert grown["fstcn_stage_seconds_count", ("stage", stage)] == 1, stage
    assert grown["fstcn_stage_seconds_sum", ("stage", "score")] > 0
    refused = [key for key, value in grown.items() if key[0] == "fstcn_refusals_total" and value]
    assert refused == []


def test_a_call_whose_message_grpc_refuses_is_none_with_a_bad_one(client, server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        def ask():
            with pytest.raises(grpc.RpcError, match="larger than max"):
                infer(bytes(4_000_001))

        grown = growth(client, ask)
    refused = {key: value for key, value in grown.items() if key[0] == "fstcn_refusals_total"}
    assert refused["fstcn_refusals_total", GRPC, ("reason", "no_message")] == 1
    assert sum(refused.values()) == 1


@pytest.mark.parametrize(
    ("request_", "protocol", "status", "reason"),
    [
        (("POST", V1, b"{}"), "v1", "400", "bad_request"),
        (("POST", V1, b" " * 4_000_001), "v1", "413", "too_large"),
        (("POST", "/v2/models/other/infer", b"{}"), "v2", "404", "unknown"),
        (("GET", f"/{SECRET}", b""), "other", "404", "unknown"),
        (("POST", "/page/scores", b"x"), "page", "400", "bad_request"),
    ],
)
def test_a_refusal_is_counted_by_its_reason(client, request_, protocol, status, reason):
    method, path, content = request_
    grown = growth(client, lambda: client.request(method, path, content=content))
    assert grown["fstcn_requests_total", ("protocol", protocol), ("status", status)] == 1
    assert grown["fstcn_refusals_total", ("protocol", protocol), ("reason", reason)] == 1


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"no HTTP\r\n\r\n", "400", "bad_request"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * connections.HEADER_BYTES, "431", "too_large"),
        (b"GET / HTTP/1.1\r\nX: ", "408", "slow"),
        (b"", None, None),  # silence is no request
    ],
    ids=["no HTTP", "long header", "half a header", "silent"],
)
def test_what_is_refused_before_it_is_a_request_is_counted(monkeypatch, sent, status, reason):
    monkeypatch.setattr(connections, "HEADER_S", 0.2)
    metrics, file = Metrics(Limits()), io.StringIO()

    async def refuse(listener: socket.socket, client: socket.socket):
        server = http_server(FastAPI(), metrics=metrics, log=AccessLog(file), drain_s=1)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        with contextlib.suppress(ConnectionError):
            while await asyncio.get_running_loop().sock_recv(client, 4096):
                pass
        server.should_exit = True
        await serving

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        client.sendall(sent)  # before its time begins, however busy the machine
        client.setblocking(False)
        asyncio.run(asyncio.wait_for(refuse(listener, client), HANG_S))
    counted = [
        ({k: v for k, v in sample.labels.items() if k in ("protocol", "status", "reason")}, value)
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name in ("fstcn_requests_total", "fstcn_refusals_total")
        and (value := sample.value)
    ]
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    if status is None:
        assert (counted, lines) == ([], [])
        return
    assert counted == [
        ({"protocol": "other", "status": status}, 1),
        ({"protocol": "other", "reason": reason}, 1),
    ]
    assert [(line["status"], line["reason"]) for line in lines] == [(status, reason)]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_internal_error_is_answered_and_counted(caplog, tmp_path, method):
    metrics, file = Metrics(Limits()), io.StringIO()
    workers = SimpleNamespace(metrics=metrics, limits=Limits(), check_place=lambda: None)
    workers.admitted = contextlib.nullcontext
    plane = ClassifierDataPlane(ClassifierModel("m", workers))
    app = build_app(plane, Arrivals(Limits()), tmp_path, AccessLog(file))

    @app.api_route("/page/fault", methods=["GET", "POST"])
    async def fail():
        raise KeyError(SECRET)

    async def ask():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.request(method, "/page/fault")

    answer = asyncio.run(ask())
    (line,) = map(json.loads, file.getvalue().splitlines())
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    told = {name: line[name] for name in ("id", "status", "reason", "route")}
    assert told == {
        "id": answer.headers["X-Request-Id"],
        "status": "500",
        "reason": "internal_error",
        "route": "/page/fault",
    }
    own = {"model": "", "version": "1", "protocol": "page"}
    for name, label in (
        ("requests", {"status": "500"}),
        ("refusals", {"reason": "internal_error"}),
    ):
        assert metrics.registry.get_sample_value(f"fstcn_{name}_total", own | label) == 1
    (record,) = caplog.records
    assert record.exc_info[0] is KeyError


def test_calls_over_grpc_are_counted(client, server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = GRPCInferenceServiceStub(channel)

        def ask():
            stub.ServerLive(messages.ServerLiveRequest())
            with pytest.raises(grpc.RpcError):
                stub.ModelInfer(messages.ModelInferRequest(model_name="tiny run"))

        grown = growth(client, ask)
    requests = {k[2][1]: v for k, v in grown.items() if k[:2] == ("fstcn_requests_total", GRPC)}
    assert {status: value for status, value in requests.items() if value} == {
        "OK": 1,
        "INVALID_ARGUMENT": 1,
    }
    assert grown["fstcn_refusals_total", GRPC, ("reason", "bad_request")] == 1


def test_decoders_are_watched(client, server):
    before = samples(client)
    assert before["fstcn_decoder_memory_limit_bytes",] == 1536 * 2**20
    assert 2**20 < before["fstcn_decoder_memory_bytes",] < 2**30
    (decoder, *_) = server.decoders()
    decoder.kill()
    restarts = ("fstcn_decoder_restarts_total",)
    for _ in range(100):  # the dead one takes its turn among the idle ones
        client.post(V1, content=b"{}")
        if (after := samples(client)[restarts]) > before[restarts]:
            break
    assert after == before[restarts] + 1


def test_buckets_go_beyond_the_limit():
    metrics = Metrics(Limits(seconds=100))
    metrics.observe("score", 101)
    (family,) = (f for f in metrics.registry.collect() if f.name == "fstcn_stage_seconds")
    edges = {float(s.labels["le"]): s.value for s in family.samples if s.name.endswith("_bucket")}
    assert sorted(edges)[-5:] == [100, 150, 200, 400, float("inf")]
    assert (edges[100], edges[150]) == (0, 1)


def test_each_request_has_a_line_and_its_answer_the_id(client, log, server):
    header = {"X-Request-Id": SECRET, "User-Agent": SECRET}
    response = client.post(f"/{SECRET}?{SECRET}", content=SECRET * 3, headers=header)
    answered = client.get("/v2/models/tiny run/ready", headers=header)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    by_id = {line["id"]: line for line in lines}
    line = by_id[response.headers["X-Request-Id"]]
    told = {name: line[name] for name in ("protocol", "route", "status", "reason")}
    assert told == {"protocol": "other", "route": "", "status": "404", "reason": "unknown"}
    assert (line["client"], line["received_bytes"]) == ("127.0.0.1", 3 * len(SECRET))
    line = by_id[answered.headers["X-Request-Id"]]
    assert line["route"] == "/v2/models/{model_name}/ready"
    assert "reason" not in line
    assert SECRET not in log.read_text()
    with grpc.insecure_channel(server.grpc_address) as channel:
        _, call = GRPCInferenceServiceStub(channel).ServerLive.with_call(
            messages.ServerLiveRequest()
        )
    (request_id,) = (v for k, v in call.initial_metadata() if k == "x-request-id")
    assert f'"id": "{request_id}"' in log.read_text()


def test_of_many_refusals_a_few_are_logged(monkeypatch):
    now = [5.0]
    monkeypatch.setattr(observation.time, "monotonic", lambda: now[0])
    file = io.StringIO()
    log = AccessLog(file)
    for number in range(100):
        log.write({"number": number}, refused=True)
    log.write({"number": "answered"}, refused=False)
    now[0] += 1
    log.write({"number": "next"}, refused=True)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["number"] for line in lines] == [*range(10), "answered", "next"]
    assert lines[-2]["refusals_left_out"] == 90
    assert "refusals_left_out" not in lines[-1]


def test_the_dashboard_asks_for_metrics_that_there_are(client, video):
    client.post(V1, content=video, headers=VIDEO)
    client.post(V1, content=b"{}")
    families = list(text_string_to_metric_families(client.get("/metrics").text))
    labels: dict[str, set] = {}
    for family in families:
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    dashboard = json.loads((ROOT / "deploy/dashboard.json").read_text())
    queries = [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", [])]
    assert len(queries) > 8
    for query in queries:
        names = re.findall(r"\b(?:fstcn|process)_\w+", query)
        assert names, query
        asked = {w for group in re.findall(r"by \(([^)]*)\)", query) for w in group.split(", ")}
        asked |= set(re.findall(r"(\w+)=~?\"", query))
        for name in names:
            assert name in labels, query
        assert asked <= set.union(*(labels[name] for name in names)) | {"le"}, query
    shown = {name for query in queries for name in re.findall(r"\bfstcn_\w+", query)}
    own = {sample.name for f in families if f.name.startswith("fstcn_") for sample in f.samples}
    derived = ("_created", "_count", "_sum")
    assert {name for name in own if not name.endswith(derived)} <= shown


def test_nothing_else_is_logged(log):
    assert own_lines(log.read_text()) == []
