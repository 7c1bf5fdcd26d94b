"""The files in deploy/: against the models of KServe's own SDK, and the image's steps replayed."""

import ast
import base64
import configparser
import importlib.metadata
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import httpx
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fstcn_keras import serve
from fstcn_keras.serving.limits import Limits, most_memory_mib
from tests.processes import HANG_S, ROOT
from tests.videos import encoded
from training import cli
from training.on_cluster import ClusterOptions
from training.options import FitOptions
from training.predict import PredictOptions

yaml = pytest.importorskip("yaml")
kserve = pytest.importorskip("kserve")
kubernetes = pytest.importorskip("kubernetes.client")

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
FILES = {
    name: ROOT / f"deploy/{name}.yaml" for name in ("inferenceservice", "inferenceservice-knative")
}
SERVICES = {name: yaml.safe_load(file.read_text()) for name, file in FILES.items()}
KNATIVE = SERVICES["inferenceservice-knative"]["spec"]["predictor"]
# what Knative lets a container have, of what is used here (its pkg/apis/serving/fieldmask.go)
KNATIVE_CONTAINER = {
    *("name", "args", "command", "env", "image", "livenessProbe", "ports", "readinessProbe"),
    *("resources", "securityContext", "volumeMounts"),
}
NOT_OF_THE_SERVER = {"ai_edge_litert", "onnx", "onnxruntime", "tqdm"}  # of files, lists of videos
PNG = base64.b64encode(encoded(np.zeros((96, 128, 3), np.uint8))).decode()
both = pytest.mark.parametrize("name", FILES)


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


def container(name: str) -> dict:
    (found,) = SERVICES[name]["spec"]["predictor"]["containers"]
    return found


def steps(instruction: str) -> list[str]:
    """What stands behind each of these instructions of the Dockerfile, in their order."""
    return re.findall(rf"^{instruction} (.*)$", DOCKERFILE, re.MULTILINE)


@both
def test_the_inference_services_are_kserves(name):
    service = SERVICES[name]
    assert service["apiVersion"] == f"{kserve.constants.KSERVE_GROUP}/v1beta1"
    assert service["kind"] == kserve.constants.KSERVE_KIND_INFERENCESERVICE
    check(service, "V1beta1InferenceService", "service")


@both
def test_the_server_takes_the_arguments(name):
    (entry,), (command,) = (
        list(map(yaml.safe_load, steps(kind))) for kind in ("ENTRYPOINT", "CMD")
    )
    assert entry[:3] == ["python", "-m", "fstcn_keras.serve"]
    for arguments in (command, container(name)["args"]):
        options = serve._parse([*entry[3:], *arguments])
        assert (str(options.folder), options.host) == ("/mnt/models", "0.0.0.0")
    assert options.name == SERVICES[name]["metadata"]["name"]  # as KServe's addresses have it
    memory = {"decoders": options.decoders, "decoder_memory": options.decoder_memory}
    assert container(name)["resources"]["limits"]["memory"] == "8Gi"
    # what is left is the network's
    assert most_memory_mib(Limits(waiting=options.waiting), **memory) < 8 * 1024 - 1500


@both
def test_the_probes_ask_what_the_server_answers(name):
    probes = {name: probe for name, probe in container(name).items() if "Probe" in name}
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {8080}
    assert probes["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
    assert probes["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    ports = {port["name"]: port["containerPort"] for port in container(name)["ports"]}
    exposed = {"http1": 8080, "grpc": 8081}
    assert ports == (exposed if name == "inferenceservice" else {"http1": 8080})
    assert steps("EXPOSE") == ["8080 8081"]


@both
def test_the_server_has_no_rights(name):
    predictor = SERVICES[name]["spec"]["predictor"]
    context = {**predictor.get("securityContext", {}), **container(name)["securityContext"]}
    assert context["runAsNonRoot"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert steps("USER") == [f"{context['runAsUser']}:1000"]
    (volume,) = predictor["volumes"]
    assert list(volume) == ["name", "emptyDir"]


def test_kubernetes_waits_until_the_server_has_ended():
    raw = SERVICES["inferenceservice"]["spec"]["predictor"]
    assert raw["terminationGracePeriodSeconds"] > serve.DRAIN_S + 5
    assert KNATIVE["timeout"] > serve.DRAIN_S + 5


def test_knative_takes_its_service():
    assert "terminationGracePeriodSeconds" not in KNATIVE
    assert "securityContext" not in KNATIVE
    assert set(container("inferenceservice-knative")) <= KNATIVE_CONTAINER


def test_everything_in_the_image_is_pinned():
    (base,) = steps("FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    lines = (ROOT / "deploy/requirements.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 20
    for pin in pins:
        assert re.fullmatch(r"[\w.-]+==[\w.+!]+", pin), pin
    assert all("--no-deps" in step for step in steps("RUN"))


def pinned() -> dict[str, str]:
    """The version of each package of the image; TensorFlow's is the one without CUDA."""
    lines = (ROOT / "deploy/requirements.txt").read_text().splitlines()
    pins = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name).removesuffix("-cpu"): version for name, version in pins}


def test_all_that_the_server_imports_is_in_the_image():
    names = set()
    for file in (ROOT / "fstcn_keras").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
    packages = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    providers = importlib.metadata.packages_distributions()
    for package in packages - NOT_OF_THE_SERVER - {"fstcn_keras"}:
        found = {canonicalize_name(name) for name in providers[package]}
        assert found & pinned().keys(), f"deploy/requirements.txt has nothing with {package}"


def test_the_image_has_versions_that_the_package_takes():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"] + setup["options.extras_require"]["serve"]
    taken = [Requirement(line) for line in lines.splitlines() if line]
    versions = {one.name: pinned().get(canonicalize_name(one.name)) for one in taken}
    assert versions["kserve"]
    assert versions["tensorflow"]
    for one in taken:
        version = versions[one.name]
        assert version is None or one.specifier.contains(version), f"{one} takes no {version}"


def test_layers_that_change_seldom_come_first():
    order = re.findall(r"^(?:COPY|RUN) .*$", DOCKERFILE, re.MULTILINE)
    positions = [
        next(n for n, line in enumerate(order) if text in line)
        for text in (
            "COPY deploy/requirements.txt",
            "-r /src/deploy/requirements.txt",
            "COPY fstcn_keras",
        )
    ]
    assert positions == sorted(positions)
    copied = {name for step in steps("COPY") for name in step.split()[:-1]}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def replayed(folder: Path) -> Path:
    """Does the image's steps below a folder, and returns the Python that it ends with."""
    environment = folder / "venv"
    venv.create(environment, with_pip=True)
    for instruction, step in re.findall(r"^(COPY|RUN) (.*)$", DOCKERFILE, re.MULTILINE):
        step = step.replace("/src", str(folder / "src"))
        if instruction == "RUN":
            path = f"{environment / 'bin'}:{os.environ['PATH']}"
            step = step.replace("pip install", "pip install --quiet --disable-pip-version-check")
            done = subprocess.run(
                ["sh", "-ec", step],
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
            )
            if "No matching distribution" in done.stderr or "ConnectionError" in done.stderr:
                pytest.skip(f"the packages cannot be fetched: {done.stderr[-300:]}")
            assert done.returncode == 0, done.stderr
            continue
        *names, target = shlex.split(step)
        for name in names:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                into = Path(target) / source.name if target.endswith("/") else Path(target)
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, into)
    return environment / "bin/python"


@pytest.mark.slow
def test_the_steps_of_the_image_make_a_server(tmp_path):
    from fstcn_keras import ActionClassifier, fstcn
    from tests.fstcn_keras.serving.conftest import CLASSES, PLAN
    from tests.networks import TINY

    network = fstcn(num_classes=len(CLASSES), **TINY)
    ActionClassifier(network, classes=CLASSES, plan=PLAN).save(tmp_path / "actions")
    python = replayed(tmp_path)
    size = sum(f.stat().st_size for f in python.parents[1].rglob("*") if f.is_file())
    assert size < 1.7 * 2**30
    entry = yaml.safe_load(steps("ENTRYPOINT")[0])
    arguments = [tmp_path / "actions", "--http-port", "0", "--grpc-port", "0", "--decoders", "1"]
    server = subprocess.Popen(
        [python, *entry[1:], *map(str, arguments)],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "KERAS_HOME": "/proc/none",
        },
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "log").open("w"),
        text=True,
    )
    try:
        line = server.stdout.readline()
        assert line.startswith("ready: "), (line, (tmp_path / "log").read_text()[-2000:])
        url = f"http://127.0.0.1:{re.search(r':([0-9]+)/', line)[1]}"
        body = {"instances": [{"frames": [{"b64": PNG}]}]}
        response = httpx.post(f"{url}/v1/models/actions:predict", json=body, timeout=HANG_S)
        assert response.status_code == 200, response.text
    finally:
        server.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        assert server.wait(HANG_S) == 128 + signal.SIGTERM
        print(f"ended after {time.monotonic() - begin:.1f} s", file=sys.stderr)


def test_the_image_of_a_cluster_finds_what_it_copies():
    image = (ROOT / "deploy/Dockerfile.cluster").read_text()
    ignored = (ROOT / "deploy/Dockerfile.cluster.dockerignore").read_text().splitlines()
    lines = re.findall(r"^COPY --chown=ray (.*) /src/\S*$", image, re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)
    assert {"training", "analysis", "fstcn_keras"} <= copied
    (extras,) = re.findall(r"'/src\[([\w,-]+)\]'", image)
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert set(extras.split(",")) <= set(setup["options.extras_require"])


RAY_JOB = {  # of KubeRay 1.x (its ray-operator/apis/ray/v1), what is used here
    "": {"entrypoint", "shutdownAfterJobFinishes", "backoffLimit", "rayClusterSpec"},
    "rayClusterSpec": {"rayVersion", "headGroupSpec", "workerGroupSpecs"},
    "headGroupSpec": {"rayStartParams", "template"},
    "workerGroupSpecs": {
        *("groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template")
    },
}


@pytest.mark.parametrize(("name", "options"), [("predict", PredictOptions), ("fit", FitOptions)])
def test_the_ray_jobs_start_commands_on_a_cluster(name, options):
    job = yaml.safe_load((ROOT / f"deploy/rayjob-{name}.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert set(job["spec"]) == RAY_JOB[""]
    assert set(cluster) == RAY_JOB["rayClusterSpec"]
    assert set(workers) == RAY_JOB["workerGroupSpecs"]
    assert set(cluster["headGroupSpec"]) == RAY_JOB["headGroupSpec"]
    for group in (cluster["headGroupSpec"], workers):
        check(group["template"], "V1PodTemplateSpec", name)
        (container,) = group["template"]["spec"]["containers"]
        assert container["volumeMounts"][0]["mountPath"] == "/shared"
    python, _, module, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert (python, module) == ("python", f"training.{name}")
    values = cli.parse_values(options, arguments, ClusterOptions)
    assert values["cluster"] == "auto"
    image = (ROOT / "deploy/Dockerfile.cluster").read_text()
    assert f"FROM rayproject/ray:{cluster['rayVersion']}-py311" in image
