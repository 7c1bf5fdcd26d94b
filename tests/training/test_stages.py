"""What each stage trains, what it leaves fixed, and what the next one takes over."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from fstcn_keras import auxiliary_classifier
from fstcn_keras.runs import RunFolder
from fstcn_keras.weights import named_layers, save_weights
from tests.fstcn_keras.backbones import stored_networks
from tests.training.runs import noise_store
from training import loop, stages
from training.data.collections import Video
from training.distribution import device_strategy
from training.errors import UserError
from training.optimizers import build_optimizer
from training.options import FitOptions
from training.parts import build


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    store = noise_store(root, num_videos=6, num_frames=12)
    train = [
        Video(path, number % 2, "train", path) for number, path in enumerate(sorted(store.videos))
    ]
    return stages.TrainingVideos(store=store, train=train, held_out=[], num_classes=2)


def options(**changes) -> FitOptions:
    common = {"batch_size": 3, "precision": "float32", "epochs": 1, "auxiliary_epochs": 1}
    return build(FitOptions, **common | changes)


def weights(model: keras.Model) -> dict[str, list[np.ndarray]]:
    return {name: layer.get_weights() for name, layer in named_layers(model).items()}


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def strategy():
    """In whose scope a test makes its stages."""
    strategy = device_strategy()
    with strategy.scope():
        yield strategy


@pytest.fixture
def pretrained(tmp_path) -> tuple[Path, dict[str, list[np.ndarray]]]:
    """A file of weights of stage 1, and the weights."""
    keras.utils.set_random_seed(7)
    source = auxiliary_classifier(num_classes=5, preset="small")
    save_weights(source, tmp_path / "stage1.h5")
    return tmp_path / "stage1.h5", weights(source)


def test_every_tensor_of_the_global_stage_changes_and_gets_a_gradient(videos, strategy, tmp_path):
    chosen = options(optimizer="sgd", weight_decay=0.0, dropout=0.0, learning_rate=0.1, epochs=2)
    stage = stages.clip_stage("global", chosen, videos, RunFolder(tmp_path), before=None)
    model = stage.model
    assert {"tcl", "parallel_scl"} < weights(model).keys()
    before = [variable.numpy().copy() for variable in model.trainable_variables]
    velocities = stage.optimizer.variables[1:]
    assert len(velocities) == len(before) == 29
    loop.train(stage, strategy, RunFolder(tmp_path), minutes=100)
    for variable, old, velocity in zip(model.trainable_variables, before, velocities, strict=True):
        assert (variable.numpy() != old).any(), variable.path
        assert np.abs(velocity.numpy()).max() > 0, variable.path  # without weight decay: gradient


def test_saving_takes_a_tenth_of_the_time_at_most(videos, strategy, tmp_path, monkeypatch):
    clock, saved = [0.0], []

    def save(checkpoints, model, optimizer, progress):
        saved.append(progress.step)
        clock[0] += 2  # seconds

    def end_epoch(*args):
        clock[0] += 9

    monkeypatch.setattr(loop.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(loop.Checkpoints, "save", save)
    monkeypatch.setattr(loop, "_end_epoch", end_epoch)
    monkeypatch.setattr(loop.History, "epoch", lambda *args: None)
    stage = stages.clip_stage(
        "global", options(epochs=6), videos, RunFolder(tmp_path), before=None
    )  # of two steps each
    loop.train(stage, strategy, RunFolder(tmp_path), minutes=100)
    assert saved == [2, 8, 12]  # 27 s after the first; the last one always
    clock[0], saved[:] = 0.0, []
    loop.train(stage, strategy, RunFolder(tmp_path), minutes=10 / 60)
    assert saved == [2, 6, 10, 12]


def test_paper_fixes_all_but_three_layers_in_stage_two(videos, strategy, pretrained, tmp_path):
    file, loaded = pretrained
    chosen = options(recipe="paper", scl_weights=file, auxiliary_rate=0.1)
    stage = stages.auxiliary_stage(chosen, videos, RunFolder(tmp_path))
    assert all(same(loaded[name], value) for name, value in weights(stage.model).items())
    loop.train(stage, strategy, RunFolder(tmp_path), minutes=100)
    learned = weights(stage.model)
    changed = {name for name, value in learned.items() if not same(loaded[name], value)}
    assert changed == {"spatial_fc", "spatial_features"}
    assert len(loaded) == 7
    following = stages.clip_stage("global", chosen, videos, RunFolder(tmp_path), before=stage.model)
    for name, value in learned.items():
        assert same(weights(following.model)[name], value), name
        assert named_layers(following.model)[name].trainable
    new = {"tcl", "temporal_fc", "spatio_temporal_features"}
    assert new < weights(following.model).keys()


def test_cnn_m_2048_counts_as_pre_trained(videos, tmp_path, capsys):
    widths = (48, 128, 256, 256, 256, 64, 32, 10)  # those of preset small, and two small FCs
    network = stored_networks.random_weights(widths)
    file = stored_networks.write_mat(tmp_path / "w.mat", stored_networks.matlab_layers(network))
    chosen = options(recipe="paper", scl_weights=file)
    with device_strategy().scope():
        stage = stages.auxiliary_stage(chosen, videos, RunFolder(tmp_path))
    fixed = {
        name for name, layer in named_layers(stage.model).items() if not layer.trainable_weights
    }
    assert fixed == {"conv1", "conv2", "conv3", "conv4", "parallel_scl"}
    kernel, biases = stage.model.frame_encoder.get_layer("parallel_scl").get_weights()
    np.testing.assert_array_equal(kernel, network["conv5"][0])
    np.testing.assert_array_equal(biases, network["conv5"][1])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "w.mat: 10 tensors loaded, 4 left as initialised, 2 of the file unused; "
        "no average image in the file: ImageNet's mean is taken for it; all in "
    )
    report = RunFolder(tmp_path).weights_report(stage.model.name).read_text()
    # 108 pixels end at 3x3 maps
    assert "spatial_fc/kernel (2304, 512): the file has (9216, 64)" in report


def test_the_head_learns_first_and_the_rest_goes_on(videos, strategy, pretrained, tmp_path):
    file, loaded = pretrained
    chosen = options(scl_weights=file, head_epochs=2, head_rate=0.01)
    assert stages.configured_stages(chosen) == ["auxiliary", "head", "global"]
    head = stages.clip_stage("head", chosen, videos, RunFolder(tmp_path), before=None)
    assert (head.epochs, head.steps_per_epoch) == (2, 2)
    assert float(head.optimizer.learning_rate) <= 0.01
    random = weights(head.model)
    loop.train(head, strategy, RunFolder(tmp_path), minutes=100)
    for name, value in weights(head.model).items():
        assert same(random[name], value) == (name in loaded), name
    following = stages.clip_stage("global", chosen, videos, RunFolder(tmp_path), before=head.model)
    for one, other in zip(head.model.weights, following.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)  # the classifier too
    assert all(layer.trainable for layer in named_layers(following.model).values())


def test_a_head_on_encoded_views_alone(videos, strategy, pretrained, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file, loaded = pretrained
    changes = {"scl_weights": file, "auxiliary_epochs": 0, "epochs": 0, "dropout": 0.0}
    chosen = options(head_epochs=2, head_rate=0.001, encoded_views=2, **changes)
    assert stages.configured_stages(chosen) == ["head"]
    random = weights(stages.initial_network(chosen, num_classes=2))
    model = stages.train_stages(chosen, videos, strategy, RunFolder(tmp_path))
    fixed = {*loaded, "temporal_scl"}
    for name, value in weights(model).items():
        assert same(loaded.get(name, random[name]), value) == (name in fixed), name
    again = stages.train_stages(chosen, videos, strategy, RunFolder(tmp_path))  # from its files
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_head_on_views_of_encoders_that_stage_2_trained_goes_on(
    videos, strategy, pretrained, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    chosen = options(
        scl_weights=pretrained[0], epochs=0, head_epochs=2, encoded_views=2, auxiliary_scl_rate=0.1
    )
    assert stages.configured_stages(chosen) == ["auxiliary", "head"]
    model = stages.train_stages(chosen, videos, strategy, RunFolder(tmp_path))
    assert not same(weights(model)["conv1"], pretrained[1]["conv1"])
    history = (tmp_path / "history.csv").read_text()
    capsys.readouterr()
    again = stages.train_stages(chosen, videos, strategy, RunFolder(tmp_path))
    for name, value in weights(again).items():
        assert same(weights(model)[name], value), name
    told = capsys.readouterr().out
    assert "encoding" not in told  # its views are those that the cache holds
    assert "stage auxiliary: 1 of 1 epochs are done already" in told
    assert (tmp_path / "history.csv").read_text() == history


def test_nothing_to_train_is_refused():
    with pytest.raises(UserError, match="there is no stage to train: give --epochs"):
        options(epochs=0)


def test_a_head_without_pre_trained_layers_is_refused():
    with pytest.raises(UserError, match="give both, or neither"):
        options(head_epochs=2)


def test_slow_layers_move_by_their_share_of_the_rate(videos, strategy, pretrained, tmp_path):
    fixed = {"optimizer": "sgd", "weight_decay": 0.0, "dropout": 0.0, "warmup_epochs": 0}
    steps = {}
    for rate in (1.0, 0.25):
        keras.utils.set_random_seed(7)
        chosen = options(scl_weights=pretrained[0], auxiliary_scl_rate=rate, batch_size=6, **fixed)
        stage = stages.auxiliary_stage(chosen, videos, RunFolder(tmp_path))
        before = weights(stage.model)
        loop.train(stage, strategy, RunFolder(tmp_path / str(rate)), minutes=100)
        after = weights(stage.model)
        steps[rate] = {name: value[0] - before[name][0] for name, value in after.items()}
    for name, step in steps[1.0].items():
        factor = 1.0 if name in stages.LAST_LAYERS else 0.25
        np.testing.assert_allclose(steps[0.25][name], factor * step, rtol=0.02, atol=1e-7)
        assert np.abs(step).max() > 1e-6


def test_without_epochs_there_is_no_second_stage(videos, strategy, tmp_path, capsys):
    model = stages.train_stages(options(auxiliary_epochs=0), videos, strategy, RunFolder(tmp_path))
    assert "stage auxiliary" not in capsys.readouterr().out
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["global-00000002.npz"]
    assert model.output_shape == (None, 2)


def test_the_temporal_path_starts_with_the_backbone_of_stage_two(videos, tmp_path, monkeypatch):
    """Section 2.3: the lower SCLs are those of the auxiliary classifier, whichever paths follow."""
    chosen = options(paths=("temporal",), optimizer="sgd", auxiliary_rate=0.1)
    random = weights(stages.initial_network(chosen, num_classes=2))
    trained, train = {}, stages.train

    def observed(stage, *more, **keywords):
        before = weights(stage.model)
        train(stage, *more, **keywords)
        trained[stage.name] = (before, weights(stage.model))

    monkeypatch.setattr(stages, "train", observed)
    stages.train_stages(chosen, videos, device_strategy(), RunFolder(tmp_path))
    assert list(trained) == ["auxiliary", "global"]
    frames, start = trained["auxiliary"][1], trained["global"][0]
    shared = {"conv1", "conv2", "conv3", "conv4"}
    assert frames.keys() & start.keys() == shared
    for name in shared:
        assert same(start[name], frames[name])
        assert not same(start[name], trained["auxiliary"][0][name])  # it has learned
        assert not same(start[name], trained["global"][1][name])  # and goes on
    for name in start.keys() - shared:
        assert same(start[name], random[name])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"recipe": "paper"}, ["global"]),  # loaded layers are fixed in stage 2
        ({"recipe": "paper", "auxiliary_scl_rate": 0.1}, ["auxiliary", "global"]),
        ({"recipe": "paper", "paths": ("spatial",)}, ["auxiliary", "global"]),
    ],
)
def test_a_second_stage_that_the_temporal_path_has_nothing_of(pretrained, changes, expected):
    chosen = options(**{"paths": ("temporal",), "scl_weights": pretrained[0]} | changes)
    assert stages.configured_stages(chosen) == expected


def test_every_run_and_every_stage_draws_samples_of_its_own(videos, tmp_path):
    def drawn(name: str, seed: int) -> list:
        chosen = options(seed=seed, epochs=1, scales=(1.0, 0.5))
        run = RunFolder(tmp_path / f"{name}{seed}")
        if name == "auxiliary":
            stage = stages.auxiliary_stage(chosen, videos, run)
        else:
            stage = stages.clip_stage(name, chosen, videos, run, before=None)
        return [stage.sampler[position].video.path for position in range(60)]

    orders = [drawn(name, seed) for name, seed in [("global", 0), ("global", 1), ("auxiliary", 0)]]
    assert drawn("global", 0) == orders[0]
    assert orders[0] != orders[1]  # ten permutations of six videos: by chance once in 10^28
    assert orders[0] != orders[2]


@pytest.fixture
def mobilenet(tmp_path) -> Path:
    """A file of weights of a backbone with batch normalisation."""
    keras.utils.set_random_seed(7)
    source = auxiliary_classifier(num_classes=5, preset="small", backbone="mobilenetv3small")
    save_weights(source, tmp_path / "mobilenet.h5")
    with h5py.File(tmp_path / "mobilenet.h5", "a") as file:
        names = file.attrs["layer_names"].tolist()
        scale = next(name for name in names if name in ("feature_scale", b"feature_scale"))
        names.remove(scale)  # it is the project's, no file from elsewhere has it
        file.attrs["layer_names"] = names
        del file["feature_scale"]
    return tmp_path / "mobilenet.h5"


def test_batch_normalisation_stays_as_it_was_loaded(videos, strategy, mobilenet, tmp_path):
    """Frames and differences share a batch, whose statistics would be those of neither."""
    chosen = options(scl_weights=mobilenet, auxiliary_epochs=0, scl="mobilenetv3small")
    stage = stages.clip_stage("global", chosen, videos, RunFolder(tmp_path), before=None)
    layers = named_layers(stage.model)
    fixed = {name for name, layer in layers.items() if layer.weights and not layer.trainable}
    norms = {n for n, one in layers.items() if isinstance(one, keras.layers.BatchNormalization)}
    assert len(norms) == 1 + 2 + 7 * 3 + 1  # the stem, eight blocks and what ends in the ninth
    assert fixed == norms


def test_the_scale_of_stage_two_is_taken_over(videos, strategy, mobilenet, tmp_path):
    chosen = options(scl_weights=mobilenet, scl="mobilenetv3small")
    auxiliary = stages.auxiliary_stage(chosen, videos, RunFolder(tmp_path))
    [scale] = weights(auxiliary.model)["feature_scale"]
    assert scale != 1  # the file's layers have features of another size
    auxiliary.model.backbone.get_layer("feature_scale").set_weights([np.float32(0.7)])
    following = stages.clip_stage(
        "global", chosen, videos, RunFolder(tmp_path), before=auxiliary.model
    )
    np.testing.assert_array_equal(weights(following.model)["feature_scale"], [np.float32(0.7)])


def test_rare_classes_weigh_more_in_the_gradient(strategy):
    generator = np.random.default_rng(0)
    x, labels = generator.normal(size=(6, 4)).astype("float32"), np.array([0, 0, 0, 0, 1, 2])
    weights = stages.balanced_weights(labels, 3)
    np.testing.assert_allclose(weights, [6 / 3 / 4, 6 / 3, 6 / 3])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    optimizer = build_optimizer("sgd", learning_rate=0.5, warmup_steps=0, total_steps=9, rates={})
    optimizer.build(model.trainable_variables)
    kernel, bias = model.get_weights()
    stage = loop.Stage(
        name="global", network=model, model=model, optimizer=optimizer, sampler=None,
        held_out=None, epochs=9, steps_per_epoch=1, batch_size=6, class_weights=weights,
    )  # fmt: skip
    loop.train_step(stage, strategy)(
        x, labels.astype("int32"), np.ones(6, "float32"), np.float32(0)
    )
    exponents = np.exp(x @ kernel + bias)
    errors = exponents / exponents.sum(axis=1, keepdims=True) - np.eye(3)[labels]
    gradient = sum(weights[y] * np.outer(v, e) for v, y, e in zip(x, labels, errors, strict=True))
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.5 * gradient / 6, atol=1e-5)


def test_a_stage_is_as_its_options_say(videos, strategy, tmp_path):
    """Ten epochs of two steps, of which a tenth warms up; then a cosine, at its half in step 11."""
    chosen = options(
        epochs=10, learning_rate=0.4, label_smoothing=0.2, class_weights="balanced", optimizer="sgd"
    )
    stage = stages.clip_stage("global", chosen, videos, RunFolder(tmp_path), before=None)
    assert (stage.epochs, stage.steps_per_epoch, stage.batch_size) == (10, 2, 3)
    assert stage.label_smoothing == 0.2
    np.testing.assert_array_equal(stage.class_weights, [1, 1])  # three videos of each
    rates = []
    for step in (0, 1, 2, 11, 20):
        stage.optimizer.iterations.assign(step)
        rates.append(float(stage.optimizer.learning_rate))
    np.testing.assert_allclose(rates, [0, 0.2, 0.4, 0.2, 0], atol=1e-7)
