"""Serves a trained network over HTTP and gRPC: python -m fstcn_keras.serve [RUN_OR_SAVEDMODEL]

KServe's protocols: V1 and V2 over HTTP, V2 over gRPC, health and Prometheus metrics, and a page
for people at `/`. Needs the extra `serve`.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import os
import re
import signal
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from fstcn_keras.command_line import CommandParser
from fstcn_keras.error_texts import error_text
from fstcn_keras.process import set_up_process
from fstcn_keras.runs import chosen_run, model_name, saved_model_version
from fstcn_keras.serving.limits import (
    CODE_MIB,
    DECODER_MEMORY_MIB,
    PICTURES_BYTES,
    Limits,
    most_memory_mib,
)
from fstcn_keras.views.plan import SCORING_MODES

if TYPE_CHECKING:
    from fstcn_keras.serving.kserve_model import ClassifierModel

DRAIN_S = 30  # for requests in work when the server is told to stop; it ends 5 s later at most
MAX_PORT = 65535
NAME = re.compile(r"[^/?#%:\x00-\x1f\x7f]+")  # what a path of an address can hold as it is
EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def main(argv: list[str] | None = None) -> None:
    """Serves until SIGTERM or Ctrl-C; requests in work are answered first, within `DRAIN_S`.

    Exit codes: 143 after SIGTERM, 130 after Ctrl-C; 2 if the network cannot be loaded or a port
    is taken, with one line on stderr.
    """
    options = _parse(argv)
    for flag, port in (("--http-port", options.http_port), ("--grpc-port", options.grpc_port)):
        if not 0 <= port <= MAX_PORT:
            _refuse(f"{flag} must be from 0 to {MAX_PORT}. Received: {port}")
    if options.name is not None:
        _check_name(options.name)
    sys.argv = sys.argv[:1]  # KServe parses the command line when it is imported
    set_up_process()
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    warnings.filterwarnings("ignore", "ORJSONResponse is deprecated")  # KServe's concern
    try:
        folder = chosen_run(options.folder)
        if not (folder / "model.keras").is_file() and saved_model_version(folder) is None:
            stopped = (folder / "checkpoints").exists()
            raise FileNotFoundError(
                f"{folder} holds neither a trained network (model.keras) nor a SavedModel"
                f"{': give the same command of training.fit again to finish it' if stopped else ''}"
            )
        name = options.name or model_name(folder)
        _check_name(name)
        limits = Limits(**{one: getattr(options, one) for one in dataclasses.asdict(Limits())})
        exit_code = asyncio.run(_serve(folder, name, options, limits))
    except ModuleNotFoundError as error:
        print(f"error: {error}: install with the extra `serve`", file=sys.stderr)
        exit_code = 2
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"error: {error_text(error)}", file=sys.stderr)
        exit_code = 2
    sys.exit(exit_code)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        _refuse(
            "--name, by default the folder's, must hold none of /?#%: nor control characters. "
            f"Got {name!r}"
        )


def _refuse(reason: str) -> NoReturn:
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(2)


async def _serve(folder: Path, name: str, options: argparse.Namespace, limits: Limits) -> int:
    """Serves until a signal comes, and returns its exit code."""
    stopped = _signal_exit_code()
    with _listening(options.host, options.http_port, "--http-port"):
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listener = socket.create_server((options.host, options.http_port), family=family)

    from prometheus_client import REGISTRY

    from fstcn_keras.serving.arrivals import Arrivals
    from fstcn_keras.serving.grpc import (
        grpc_server,
        stop,
    )  # heavy: not before the port is known free
    from fstcn_keras.serving.http import build_app, http_server
    from fstcn_keras.serving.kserve_model import ClassifierDataPlane, ClassifierModel
    from fstcn_keras.serving.metrics import Metrics
    from fstcn_keras.serving.observation import AccessLog
    from fstcn_keras.serving.workers import Workers

    metrics = Metrics(limits, model=name)
    REGISTRY.register(metrics.registry)
    log = AccessLog(sys.stderr if options.access_log else None)
    decoders = {"decoders": options.decoders, "decoder_memory": options.decoder_memory}
    workers = Workers(limits, **decoders, metrics=metrics)
    try:
        model = ClassifierModel(name, workers)
        plane = ClassifierDataPlane(model)
        arrivals = [
            Arrivals(limits),
            Arrivals(limits, number=limits.waiting, grace_s=limits.seconds),
            Arrivals(limits, number=limits.waiting),
        ]
        grpc = grpc_server(plane, workers, arrivals[1:], log)
        with _listening(options.host, options.grpc_port, "--grpc-port"):
            grpc_port = grpc.add_insecure_port(_address(options.host, options.grpc_port))
        app = build_app(plane, arrivals[0], folder, log)
        http = http_server(app, metrics=metrics, log=log, drain_s=DRAIN_S)
        serving = asyncio.create_task(http.serve(sockets=[listener]))
        await grpc.start()
        try:
            if await _ready(model, folder, options.views, stopped):
                _announce(model.name, options.host, listener.getsockname()[1], grpc_port)
            return await stopped
        finally:
            http.should_exit = True
            for arriving in arrivals:
                arriving.end()
            await asyncio.gather(serving, stop(grpc, workers, drain_s=DRAIN_S))
    finally:
        workers.close()


def _signal_exit_code() -> asyncio.Future[int]:
    """Returns a future exit code, set when SIGTERM or Ctrl-C comes."""
    loop = asyncio.get_running_loop()
    stopped = loop.create_future()

    def stop(code: int) -> None:
        if not stopped.done():
            stopped.set_result(code)

    for number, code in EXIT_CODES.items():
        loop.add_signal_handler(number, stop, code)
    return stopped


async def _ready(
    model: "ClassifierModel", folder: Path, mode: str | None, stopped: asyncio.Future
) -> bool:
    """Returns true once the model is ready, false if a signal comes before."""
    ready = asyncio.create_task(model.get_ready(folder, mode))
    await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        return False
    try:
        ready.result()
    except Exception as error:  # whatever is wrong with the files, or with the network in them
        reason = f"{type(error).__name__}: {error}"
        raise RuntimeError(f"{folder} cannot be served: {reason}") from error
    return True


@contextlib.contextmanager
def _listening(host: str, port: int, flag: str) -> Iterator[None]:
    try:
        yield
    except (OSError, OverflowError, RuntimeError) as error:
        number = getattr(error, "errno", None) or 0  # neither gRPC nor a name server gives one
        why = f" ({os.strerror(number)})" if number > 0 else ""
        raise OSError(
            f"{host}:{port} cannot be listened to{why}: choose another --host or {flag}"
        ) from error


def _announce(name: str, host: str, http_port: int, grpc_port: int) -> None:
    print(
        f"ready: http://{_address(host, http_port)}/ "
        f"(V1: /v1/models/{name}:predict, V2: /v2/models/{name}/infer, /metrics), "
        f"gRPC {_address(host, grpc_port)}",
        flush=True,
    )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _memory_text() -> str:
    decoders = os.cpu_count() or 1
    most = most_memory_mib(Limits(), decoders=decoders, decoder_memory=DECODER_MEMORY_MIB)
    pictures = PICTURES_BYTES // 2**20
    return f"""
Whatever is sent, the server and its decoders take less than {most} MiB here by default, beside the
network itself. With R for --max-request-bytes: 4 R and {pictures} MiB for each of --max-waiting;
for each of --decoders its --decoder-memory, {CODE_MIB} MiB and 6 R; and 2 R.
"""


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = CommandParser(
        prog="python -m fstcn_keras.serve",
        description=__doc__ + _memory_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def add(group: Any, flag: str, default: Any, meaning: str, **options: Any) -> None:
        shown = f"{meaning} (default: {default})"
        group.add_argument(flag, default=default, type=type(default), help=shown, **options)

    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        help="a training run, or a SavedModel that `python -m fstcn_keras.export` made "
        "(default: the newest finished run under runs/)",
    )
    parser.add_argument("--name", help="of the model in the URLs (default: that of the folder)")
    parser.add_argument(
        "--views", choices=SCORING_MODES, help="how a run scores its views (default: as saved)"
    )
    add(parser, "--host", "127.0.0.1", "address to listen to; 0.0.0.0 for all")
    add(parser, "--http-port", 8080, "for HTTP; 0 takes a free one")
    add(parser, "--grpc-port", 8081, "for gRPC; 0 takes a free one")
    add(parser, "--decoders", os.cpu_count() or 1, "processes that decode")
    meaning = (
        f"MiB that each of them may take beyond the {CODE_MIB} of its own code; what needs more "
        "gets 413"
    )
    add(parser, "--decoder-memory", DECODER_MEMORY_MIB, meaning)
    meaning = "write a line of JSON to stderr for each request, with the id that its answer carries"
    parser.add_argument("--access-log", action="store_true", help=meaning)
    limits = parser.add_argument_group("limits of every request")
    for field in dataclasses.fields(Limits):
        flag = "--max-" + field.name.replace("_", "-")
        add(limits, flag, field.default, field.metadata["help"], dest=field.name)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
