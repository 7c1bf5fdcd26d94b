"""Presents the classifier as KServe knows models: V1, V2 and gRPC all come through here."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from kserve import InferOutput, InferResponse, Model, ModelRepository
from kserve.errors import ModelNotReady
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.infer_type import RequestedOutput
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from fstcn_keras.clips import NUM_CROPS
from fstcn_keras.prediction import Prediction
from fstcn_keras.runs import saved_model_version
from fstcn_keras.serving.decoding import decode_request
from fstcn_keras.serving.loading import load_classifier
from fstcn_keras.serving.refusals import BadRequest, UnknownModel
from fstcn_keras.serving.requests import (
    AnswerForm,
    GrpcRequest,
    Request,
    Tensor,
    V1Request,
    V2Request,
)
from fstcn_keras.serving.workers import Workers

if TYPE_CHECKING:
    from fstcn_keras.classifier import ActionClassifier

_WARM_UP = Tensor("frames", "UINT8", [1, 120, 160, 3], bytes([128]) * (120 * 160 * 3))


class ClassifierModel(Model):
    """Answers requests with predictions of an `ActionClassifier`.

    Args:
        name: of the model in the URLs.
        workers: where decoding and scoring happen.
    """

    def __init__(self, name: str, workers: Workers) -> None:
        super().__init__(name)
        self.workers = workers
        self.version = "1"
        self.platform = "keras"
        self._classifier: ActionClassifier | None = None

    @property
    def classifier(self) -> "ActionClassifier":
        """Returns what scores.

        Raises:
            ModelNotReady: as long as it is not loaded.
        """
        if self._classifier is None:
            raise ModelNotReady(self.name)
        return self._classifier

    async def get_ready(self, folder: Path, mode: str | None = None) -> None:
        """Loads a run or SavedModel and scores one grey frame, so that every graph is traced.

        Args:
            folder: that of the run or SavedModel.
            mode: how views are scored, see `load_classifier`.

        Raises:
            OSError: see `load_classifier`.
            ValueError: the same.
        """
        version = saved_model_version(folder)
        if version is not None:
            self.version = version.name if version.name.isdecimal() else self.version
            self.platform = "tensorflow_savedmodel"
        self.workers.metrics.version = self.version
        self._classifier = await self.workers.load(load_classifier, folder, mode)
        await self._predict(_WARM_UP)
        self.ready = True

    def start(self) -> None:
        """Does nothing when KServe hears of the model; `get_ready` does the work."""

    def load(self) -> None:
        """Refuses a request that comes before the model is ready.

        Raises:
            ModelNotReady: always.
        """
        raise ModelNotReady(self.name)

    async def predict(
        self, payload: Request, headers: dict[str, str] | None = None
    ) -> dict | InferResponse:
        """Answers as the protocol of the request asks for.

        Raises:
            BadRequest: if the request cannot be understood or decoded.
            Overloaded: if it cannot be answered in time.
        """
        predictions, form = await self.workers.within_time(self._predict(payload))
        if isinstance(payload, V1Request):
            return {"predictions": [v1_answer(prediction) for prediction in predictions]}
        (prediction,) = predictions
        return InferResponse(
            response_id=form.id,
            model_name=self.name,
            model_version=self.version,
            infer_outputs=_v2_outputs(prediction, form),
            parameters=_remarks(prediction),
            requested_outputs=[
                RequestedOutput(name, {"binary_data": raw}) for name, raw in form.outputs
            ],
        )

    async def _predict(self, request: Request) -> tuple[list[Prediction], AnswerForm]:
        classifier, workers = self.classifier, self.workers
        async with workers.turn():
            decoded = await workers.decode(decode_request, request, classifier.plan, workers.limits)
            predictions = [
                await workers.score(classifier.predict_video, video) for video in decoded.videos
            ]
        return predictions, decoded.form

    def get_input_types(self) -> list[dict]:
        """Returns the inputs that V2 metadata names; a request holds one of them."""
        return [
            {"name": "frames", "datatype": "BYTES", "shape": [-1]},
            {"name": "frames", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
            {"name": "video", "datatype": "BYTES", "shape": [1]},
        ]

    def get_output_types(self) -> list[dict]:
        """Returns the outputs that V2 metadata names.

        Raises:
            ModelNotReady: as long as the classes are not known.
        """
        num_classes, num_clips = len(self.classifier.classes), self.classifier.plan.num_clips
        return [
            {"name": "classes", "datatype": "BYTES", "shape": [num_classes]},
            {"name": "scores", "datatype": "FP32", "shape": [num_classes]},
            {"name": "sci", "datatype": "FP32", "shape": [num_clips, NUM_CROPS]},
        ]


class ClassifierDataPlane(DataPlane):
    """Leads from a body to the model; bodies go to the decoding processes unread."""

    def __init__(self, model: ClassifierModel) -> None:
        repository = ModelRepository()
        repository.update(model)
        super().__init__(model_registry=repository)
        self.model = model

    async def ready(self) -> bool:
        """Returns true after the warm-up."""
        return self.model.ready

    def metadata(self) -> dict:
        """Returns the server's metadata."""
        told = super().metadata()
        return told | {"extensions": [*told["extensions"], "binary_tensor_data"]}

    async def model_metadata(self, model_name: str) -> dict:
        """Returns the model's metadata.

        Raises:
            ModelNotFound: if there is no model of this name.
            ModelNotReady: as long as the classes are not known.
        """
        told = await super().model_metadata(model_name)
        return told | {"versions": [self.model.version], "platform": self.model.platform}

    def check_version(self, version: str | None) -> None:
        """Makes sure that the model has this version, or that none is asked for.

        Raises:
            UnknownModel: if it has another one.
        """
        if version not in (None, "", self.model.version):
            raise UnknownModel(f"the model has one version, {self.model.version}")

    def decode(self, body: bytes, headers: dict[str, str], **_: Any) -> tuple[V1Request, dict]:
        """Returns a body by V1; those by V2 do not come here."""
        return V1Request(body, headers.get("content-type", "")), {}

    def encode(
        self, model_name: str, response: Any, headers: dict[str, str], req_attributes: dict
    ) -> tuple[Any, dict[str, str]]:
        """Encodes as KServe does, but no answer is a CloudEvent, whatever the headers."""
        return super().encode(model_name, response, {}, req_attributes)

    async def infer_v2(self, model_name: str, request: V2Request | GrpcRequest) -> InferResponse:
        """Answers a request by V2.

        Raises:
            ModelNotFound: if there is no model of this name.
            ModelNotReady: before the warm-up is over.
            BadRequest: see `ClassifierModel.predict`.
            Overloaded: the same.
        """
        if not await self.model_ready(model_name):
            raise ModelNotReady(model_name)
        response, _ = await self.infer(model_name, request)
        return response


class FixedRepository(ModelRepositoryExtension):
    """Serves one model and takes no orders from the network."""

    async def load(self, model_name: str) -> None:
        """Refuses to load or unload a model.

        Raises:
            BadRequest: always.
        """
        raise BadRequest("models are not loaded or unloaded over the network")

    unload = load


def v1_answer(prediction: Prediction) -> dict:
    """Returns the answer by V1, as JSON has it."""
    return {
        "classes": list(prediction.classes),
        "scores": prediction.scores.tolist(),
        "sci": prediction.sci.tolist(),
        **({} if prediction.rejected is None else {"novelty": prediction.novelty}),
        **_remarks(prediction),
    }


def _remarks(prediction: Prediction) -> dict:
    told = {"num_frames": prediction.num_frames, "incomplete": prediction.incomplete}
    if prediction.notes:
        told["notes"] = "; ".join(prediction.notes)
    if prediction.rejected is not None:
        told["rejected"] = prediction.rejected
    return told


def _v2_outputs(prediction: Prediction, form: AnswerForm) -> list[InferOutput]:
    """Makes `classes` BYTES [N], best first, `scores` FP32 [N] and `sci` FP32 [M, C], as wanted."""
    classes = np.array([name.encode() for name in prediction.classes], object)
    tensors = {
        "classes": ("BYTES", classes),
        "scores": ("FP32", prediction.scores.astype(np.float32)),
        "sci": ("FP32", prediction.sci.astype(np.float32)),
    }
    outputs = []
    for name, raw in form.outputs:
        datatype, values = tensors[name]
        output = InferOutput(name=name, shape=list(values.shape), datatype=datatype)
        output.set_data_from_numpy(values, binary_data=raw)
        outputs.append(output)
    return outputs
