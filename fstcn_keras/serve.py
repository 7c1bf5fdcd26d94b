"""Serve a trained network over HTTP and gRPC: python -m fstcn_keras.serve [RUN_OR_SAVEDMODEL]

KServe's protocols: V1 and V2 over HTTP, V2 over gRPC, health and Prometheus metrics, and a page
for people at `/`. Needs the extra `serve`.
"""

import argparse
import asyncio
import dataclasses
import os
import signal
import socket
import sys
import warnings
from pathlib import Path

from fstcn_keras.imports import quiet_tensorflow
from fstcn_keras.serving.limits import Limits

DRAIN_S = 30  # for requests in work when the server is told to stop


def main(argv: list[str] | None = None):
    """Serves until SIGTERM or Ctrl-C; requests in work are answered first.

    Exit codes: 143 after SIGTERM, 130 after Ctrl-C; 2 if the network cannot be loaded or a port
    is taken, with one line on stderr.
    """
    options = _parse(argv)
    sys.argv = sys.argv[:1]  # KServe parses the command line when it is imported
    quiet_tensorflow()
    warnings.filterwarnings("ignore", "ORJSONResponse is deprecated")  # KServe's concern
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # comes after the server has drained
    try:
        asyncio.run(_serve(options))
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


async def _serve(options: argparse.Namespace):
    import uvicorn

    from fstcn_keras.serving.grpc import start_grpc
    from fstcn_keras.serving.http import build_app
    from fstcn_keras.serving.kserve_model import ClassifierDataPlane, ClassifierModel
    from fstcn_keras.serving.loading import load_classifier
    from fstcn_keras.serving.work import Workers

    limits = Limits(**{name: getattr(options, name) for name in dataclasses.asdict(Limits())})
    with _listen(options.host, options.http_port) as listener:
        classifier, name = load_classifier(options.folder)
        workers = Workers(limits, decoders=options.decoders)
        model = ClassifierModel(options.name or name, classifier, workers)
        plane = ClassifierDataPlane(model)
        grpc = await start_grpc(plane, f"{options.host}:{options.grpc_port}", limits)
        config = uvicorn.Config(
            build_app(model, plane, limits),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
        warm_up = asyncio.create_task(model.warm_up())
        warm_up.add_done_callback(lambda _: _announce(options, model.name))
        try:
            await uvicorn.Server(config).serve(sockets=[listener])
        finally:
            await grpc.stop(DRAIN_S)
            workers.close()


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket, before anything slow is loaded: a port that is taken shows at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(
            f"{host}:{port} cannot be listened to ({error.strerror}): choose another --http-port"
        ) from error


def _announce(options: argparse.Namespace, name: str):
    print(
        f"ready: http://{options.host}:{options.http_port}/ "
        f"(V1: /v1/models/{name}:predict, V2: /v2/models/{name}/infer, /metrics), "
        f"gRPC {options.host}:{options.grpc_port}",
        flush=True,
    )


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fstcn_keras.serve",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", help="a training run or a SavedModel")
    parser.add_argument("--name", help="of the model in the URLs; that of the folder by default")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen to")
    parser.add_argument("--http-port", type=int, default=8080, help="for HTTP")
    parser.add_argument("--grpc-port", type=int, default=8081, help="for gRPC")
    parser.add_argument("--decoders", type=int, default=os.cpu_count(), help="processes")
    limits = parser.add_argument_group("limits of every request")
    for name, default in dataclasses.asdict(Limits()).items():
        flag = "--max-" + name.replace("_", "-")
        limits.add_argument(flag, dest=name, type=type(default), default=default, help=" ")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
