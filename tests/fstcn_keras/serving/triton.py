"""Asks a server by one of Triton's clients, and prints what it says as JSON.

In a process of its own: Triton's messages and KServe's have the same names. Arguments: `http` or
`grpc`, the address, the model, a file of frames and the compression.
"""

import importlib
import json
import sys

import numpy as np

OUTPUTS = ("classes", "scores", "sci")


def main(protocol: str, address: str, model: str, file: str, compression: str):
    """Makes the calls of liveness, metadata and inference."""
    library, frames = importlib.import_module(f"tritonclient.{protocol}"), np.load(file)
    with library.InferenceServerClient(address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(model)
        assert client.is_model_ready(model, "1")
        as_json = {} if protocol == "http" else {"as_json": True}
        assert client.get_server_metadata(**as_json)["name"] == "kserve"
        metadata = client.get_model_metadata(model, **as_json)
        assert (metadata["name"], metadata["versions"]) == (model, ["1"])
        given = library.InferInput("frames", list(frames.shape), "UINT8")
        given.set_data_from_numpy(frames)
        option = {"http": "request_compression_algorithm", "grpc": "compression_algorithm"}
        how = {option[protocol]: compression or None}
        answers = []
        for outputs in (None, [library.InferRequestedOutput(name) for name in OUTPUTS]):
            found = client.infer(model, [given], outputs=outputs, **how)
            answer = {name: found.as_numpy(name).tolist() for name in OUTPUTS}
            names = answer["classes"]
            answer["classes"] = [n.decode() if isinstance(n, bytes) else n for n in names]
            answers.append(answer)
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
