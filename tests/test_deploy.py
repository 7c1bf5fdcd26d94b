"""The files in deploy/: the InferenceService against the models of KServe's own SDK."""

import re
from pathlib import Path

import pytest

from fstcn_keras import serve

yaml = pytest.importorskip("yaml")
kserve = pytest.importorskip("kserve")
kubernetes = pytest.importorskip("kubernetes.client")

ROOT = Path(__file__).parents[1]
SERVICE = yaml.safe_load((ROOT / "deploy/inferenceservice.yaml").read_text())


def check(value, kind: str, where: str):
    """Fails unless the value is one of the OpenAPI type, every field of it known."""
    if inner := re.fullmatch(r"[Ll]ist\[(.*)\]", kind):
        assert isinstance(value, list), where
        for number, item in enumerate(value):
            check(item, inner[1], f"{where}[{number}]")
    elif inner := re.fullmatch(r"[Dd]ict[\[(]str, (.*)[\])]", kind):
        assert isinstance(value, dict), where
        for key, item in value.items():
            check(item, inner[1], f"{where}.{key}")
    elif kind in ("str", "int", "bool"):
        assert type(value).__name__ == kind, where
    elif kind != "object":  # of any type, such as a port's number or name
        model = getattr(kserve, kind, None) or getattr(kubernetes, kind)
        types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
        for key, item in value.items():
            assert key in types, f"{where}: {kind} has no field {key}"
            check(item, types[key], f"{where}.{key}")


def container() -> dict:
    (found,) = SERVICE["spec"]["predictor"]["containers"]
    return found


def test_the_inference_service_is_one_of_kserves():
    assert SERVICE["apiVersion"] == f"{kserve.constants.KSERVE_GROUP}/v1beta1"
    assert SERVICE["kind"] == kserve.constants.KSERVE_KIND_INFERENCESERVICE
    check(SERVICE, "V1beta1InferenceService", "service")


def test_the_server_takes_the_arguments_of_both():
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    command = yaml.safe_load(re.search(r"^CMD (.*)$", dockerfile, re.MULTILINE)[1])
    for arguments in (command, container()["args"]):
        options = serve._parse(arguments)
        assert (str(options.folder), options.host) == ("/mnt/models", "0.0.0.0")


def test_the_probes_ask_what_the_server_answers():
    probes = {name: probe["httpGet"] for name, probe in container().items() if "Probe" in name}
    ports = {port["containerPort"] for port in container()["ports"]}
    assert {probe["port"] for probe in probes.values()} == ports == {8080}
    assert probes["livenessProbe"]["path"] == "/v2/health/live"
    assert probes["readinessProbe"]["path"] == "/v2/health/ready"


def test_kubernetes_waits_until_the_server_has_ended():
    grace_s = SERVICE["spec"]["predictor"]["terminationGracePeriodSeconds"]
    assert grace_s > serve.DRAIN_S + 5
