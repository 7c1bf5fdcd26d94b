"""The classifier as KServe knows models: V1, V2 and gRPC all come through here."""

import numpy as np
from kserve import InferRequest, InferResponse, Model, ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from fstcn_keras.classifier import ActionClassifier
from fstcn_keras.prediction import Prediction
from fstcn_keras.serving import decoding, payloads
from fstcn_keras.serving.limits import BadRequest
from fstcn_keras.serving.work import Workers


class ClassifierModel(Model):
    """Answers requests with predictions of an `ActionClassifier`.

    Args:
        name: of the model in the URLs.
        classifier: what scores.
        workers: where decoding and scoring happen.
    """

    def __init__(self, name: str, classifier: ActionClassifier, workers: Workers):
        super().__init__(name)
        self._classifier = classifier
        self._workers = workers

    def start(self):
        """Called by KServe at once; the model is ready only after `warm_up`."""

    async def warm_up(self):
        """Scores one grey frame, so that the first request finds every graph traced."""
        await self._predict(np.full((1, 120, 160, 3), 128, np.uint8))
        self.ready = True

    async def predict(
        self, payload: dict | bytes | InferRequest, headers: dict[str, str] | None = None
    ) -> dict | InferResponse:
        """Predictions for the videos of one request.

        Raises:
            BadRequest: if the request cannot be understood or decoded.
            Overloaded: if it cannot be answered in time.
        """
        if isinstance(payload, InferRequest):
            video = payloads.v2_video(payload, self._workers.limits)
            prediction = await self._workers.run(lambda: self._predict(video))
            return payloads.v2_answer(prediction, payload, self.name)
        videos = await payloads.v1_videos(payload, headers or {}, self._workers.limits)

        async def one_after_another() -> list[dict]:
            return [payloads.v1_answer(await self._predict(video)) for video in videos]

        return {"predictions": await self._workers.run(one_after_another)}

    async def _predict(self, video: payloads.Video) -> Prediction:
        plan, limits = self._classifier.plan, self._workers.limits
        source = video
        if not isinstance(video, np.ndarray):
            source = await self._workers.decode(decoding.decode, video, plan, limits)
        return await self._workers.score(self._classifier.predict_video, source)

    def get_input_types(self) -> list[dict]:
        """The inputs that V2 metadata names; a request holds one of them."""
        return [
            {"name": "frames", "datatype": "BYTES", "shape": [-1]},
            {"name": "frames", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
            {"name": "video", "datatype": "BYTES", "shape": [1]},
        ]

    def get_output_types(self) -> list[dict]:
        """The outputs that V2 metadata names."""
        num_classes = len(self._classifier.classes)
        return [
            {"name": "classes", "datatype": "BYTES", "shape": [num_classes]},
            {"name": "scores", "datatype": "FP32", "shape": [num_classes]},
            {"name": "sci", "datatype": "FP32", "shape": [self._classifier.plan.num_clips, 18]},
        ]


class ClassifierDataPlane(DataPlane):
    """KServe's way from a body to the model, ready when the model is, safe from its parsers."""

    def __init__(self, model: ClassifierModel):
        repository = ModelRepository()
        repository.update(model)
        super().__init__(model_registry=repository)
        self._model = model

    async def ready(self) -> bool:
        """True after the warm-up."""
        return self._model.ready

    def decode(self, body, headers, **options):
        """As KServe's, but whatever its parsers make of a malformed body is a `BadRequest`.

        JSON may name its character set, which KServe does not expect.
        """
        kind = headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() == "application/json":
            headers = {**headers, "content-type": "application/json"}
        try:
            return super().decode(body, headers, **options)
        except Exception as error:
            raise BadRequest("the body is not a request of this protocol") from error


class FixedRepository(ModelRepositoryExtension):
    """The repository of a server that serves one model and takes no orders from the network."""

    async def load(self, model_name: str) -> None:
        """Refuses."""
        raise BadRequest("models are not loaded or unloaded over the network")

    unload = load
