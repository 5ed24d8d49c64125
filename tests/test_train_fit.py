"""The training loop with real Keras, on faces made up so that seconds are enough. Any Keras backend: KERAS_BACKEND."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.classifier import SHIPPED, Classifier, quantized
from edge.contract import LABELS, InputSpec, crop
from edge.errors import SettingsError, SourceError
from train import data, importers
from train.augment import STILL, Augment
from train.recipe import Balance, Recipe
from train.targets import targets

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(600),
    # TensorFlow's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

ROOT = Path(__file__).parents[1]
SIDE, BAND = 48, 6
USAGE = ["Training"] * 20 + ["PublicTest"] * 4 + ["PrivateTest"] * 2
FERPLUS = {"happy": "happiness", "sad": "sadness", "angry": "anger"}
QUICK = Recipe(
    "plain", InputSpec(side=16), augment=STILL, epochs=3, batch=16, warmup_epochs=1, average=0.9, dropout=0.1
)
"""No augmentation: a band that moves would be another label."""
LONG = replace(QUICK, epochs=6, batch=8)
"""Steps enough for batch normalization's averages to be right."""
LAST = 6
"""The number of its last convolution."""
WORDS = [
    "network=residual-nano",
    "input.side=16",
    "epochs=3",
    "batch=16",
    "warmup_epochs=1",
    "average=0.9",
    "dropout=0.1",
]
"""The same for a command line, but for `augment`."""


def striped(label: int, rng: np.random.Generator) -> np.ndarray:
    """A noisy picture with one bright band; how far down it lies is the label."""
    face = rng.integers(40, 90, (SIDE, SIDE), np.uint8)
    face[label * BAND : (label + 1) * BAND] += 120
    return face


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fer2013.csv and fer2013new.csv of striped pictures, 26 for each of the eight labels; contempt is neutral in the
    first, which has seven."""
    folder, rng = tmp_path_factory.mktemp("stripes"), np.random.default_rng(3)
    votes = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
    faces, counts = ["emotion,pixels,Usage"], [",".join(["Usage", "Image name", *votes])]
    for label, name in enumerate(LABELS):
        for usage in USAGE:
            faces.append(f"{min(label, 6)},{' '.join(map(str, striped(label, rng).ravel()))},{usage}")
            counts.append(",".join([usage, "", *["10" if FERPLUS.get(name, name) == each else "0" for each in votes]]))
    (folder / "fer2013.csv").write_text("\n".join(faces) + "\n")
    (folder / "fer2013new.csv").write_text("\n".join(counts) + "\n")
    return folder


@pytest.fixture(scope="module")
def fitted(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has learned the stripes."""
    from train.fit import fit

    run = tmp_path_factory.mktemp("run")
    fit([stripes], run, LONG)
    return run


def history_of(run: Path) -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads((run / "history.json").read_text())
    return found


def arrays(run: Path) -> dict[str, np.ndarray]:
    """The state after the last epoch."""
    (file,) = run.glob("epoch-*.npz")
    with np.load(file) as kept:
        return dict(kept)


def stopped_after(epochs: int) -> Callable[[dict[str, float]], None]:
    """What `fit` tells, and a training that breaks off."""

    def told(figures: dict[str, float]) -> None:
        if figures["epoch"] == epochs:
            raise KeyboardInterrupt

    return told


def with_format(monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], data.FaceSet]) -> None:
    """One more format for the importers: what is called `made-up`."""
    made_up = SimpleNamespace(FORM="made up", matches=lambda path: path.name == "made-up", read=read)
    monkeypatch.setattr(importers, "FORMATS", (made_up, *importers.FORMATS))


def test_a_run_leaves_its_recipe_history_plot_manifest_and_best_network(fitted: Path) -> None:
    description = json.loads((fitted / "run.json").read_text())
    assert (description["faces"], description["data"]) == (160, [description["data"][0]])
    assert Recipe.from_dict(description["recipe"]) == LONG
    history = history_of(fitted)
    assert [each["epoch"] for each in history] == list(range(1, 7))
    assert history[-1]["loss"] < history[0]["loss"]
    assert max(each["votes_accuracy"] for each in history) > 0.9 < max(each["label_accuracy"] for each in history)
    assert history[1]["learning_rate"] == QUICK.peak_rate > history[-1]["learning_rate"] > 0
    assert len((fitted / "manifest.txt").read_text().splitlines()) == 160
    assert (fitted / "history.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in fitted.glob("epoch-*")] == ["epoch-006.npz"]


def test_the_best_network_is_the_averaged_one_of_the_best_epoch(stripes: Path, fitted: Path) -> None:
    from train.fit import predict, recipe_of, saved

    best = max(history_of(fitted), key=lambda each: (each["validation_accuracy"], each["epoch"]))
    faces = data.judged(importers.read_all([stripes]), "validation", "votes")
    logits = predict(saved(fitted), faces, recipe_of(fitted).input)
    assert list(logits) == ["votes", "label"] and logits["label"].shape == (32, 7)
    assert (logits["votes"].argmax(axis=1) == faces.majority).mean() == best["votes_accuracy"]


def test_the_average_follows_the_weights_and_is_not_them(fitted: Path) -> None:
    kept = arrays(fitted)
    pairs = [(kept[f"model_{i}"], kept[f"average_{i}"]) for i in range(sum(name.startswith("model_") for name in kept))]
    assert any(not np.array_equal(model, average) for model, average in pairs)
    assert np.mean([np.abs(m - a).mean() for m, a in pairs]) < 0.3 * np.mean([np.abs(m).mean() for m, _ in pairs])


def test_without_an_average_the_network_itself_is_kept(stripes: Path, tmp_path: Path) -> None:
    from train.fit import fit

    fit([stripes], tmp_path, replace(QUICK, average=0, epochs=1))
    kept = arrays(tmp_path)
    assert all(np.allclose(kept[name], kept[name.replace("model", "average")]) for name in kept if "model" in name)


def test_training_calibration_and_daemon_see_the_same_bytes_of_a_face(stripes: Path) -> None:
    """T01 and T02, through the code that feeds each of them."""
    from train.fit import _batches

    classifier = Classifier.read(SHIPPED)
    spec, scales = classifier.card.input, classifier.card.quant_in
    assert scales is not None
    faces, rng = data.trainable(importers.read_all([stripes])), np.random.default_rng(0)
    recipe = replace(QUICK, input=spec)
    aims = targets(faces, recipe)
    fed = np.concatenate([x for x, _, _ in _batches(faces, aims, recipe, 0, np.arange(len(faces)), rng)])
    daemon = [classifier.tensor(crop(face, spec)).tobytes() for face in faces.pixels]
    assert [quantized(each, scales).tobytes() for each in fed] == daemon
    assert [quantized(each, scales).tobytes() for each in data.inputs(faces, spec)] == daemon


def test_a_run_is_not_continued_with_another_recipe(stripes: Path, fitted: Path) -> None:
    from train.fit import fit

    other = replace(LONG, epochs=7, balance=Balance(power=0.5))
    with pytest.raises(SettingsError, match=r"recipe.balance.power was 0.0, is 0.5; recipe.epochs was 6, is 7\)"):
        fit([stripes], fitted, other)


def test_a_setting_that_is_newer_than_a_run_does_not_strand_it(stripes: Path, tmp_path: Path) -> None:
    from train.fit import fit

    fit([stripes], tmp_path, replace(QUICK, epochs=1))
    description = json.loads((tmp_path / "run.json").read_text())
    del description["recipe"]["clip_norm"]
    (tmp_path / "run.json").write_text(json.dumps(description))
    fit([stripes], tmp_path, replace(QUICK, epochs=1))
    with pytest.raises(SettingsError, match="clip_norm"):
        fit([stripes], tmp_path, replace(QUICK, epochs=1, clip_norm=1.0))


def test_a_damaged_checkpoint_is_named(stripes: Path, tmp_path: Path) -> None:
    from train.fit import fit

    with pytest.raises(KeyboardInterrupt):
        fit([stripes], tmp_path, QUICK, told=stopped_after(1))
    (tmp_path / "epoch-001.npz").write_bytes(b"PK torn")
    with pytest.raises(SourceError, match="cannot go on after epoch 1"):
        fit([stripes], tmp_path, QUICK)


@pytest.mark.parametrize(
    "more",
    [
        {
            "mixup": 0.4,
            "cutmix": 1.0,
            "label_smoothing": 0.1,
            "balance": Balance(cap=15, power=0.5),
            "unfreeze": ("1:4", "2:2"),
            "valence": "derived",
        },
        {
            "optimizer": "sgd",
            "peak_rate": 0.02,
            "clip_norm": 1.0,
            "balance": Balance(class_weights=0.5, focal=2.0),
            "precision": "mixed_float16",
        },
    ],
)
def test_an_interrupted_run_ends_as_one_that_was_not(stripes: Path, tmp_path: Path, more: dict[str, Any]) -> None:
    """To the bit on a CPU: weights, averages and the optimizer's state; in the middle of a stage of unfreezing."""
    from train.fit import fit

    recipe = replace(QUICK, augment=Augment(), **more)
    fit([stripes], tmp_path / "whole", recipe)
    with pytest.raises(KeyboardInterrupt):
        fit([stripes], tmp_path / "broken", recipe, told=stopped_after(2))
    fit([stripes], tmp_path / "broken", recipe)
    assert history_of(tmp_path / "broken") == history_of(tmp_path / "whole")
    whole, broken = arrays(tmp_path / "whole"), arrays(tmp_path / "broken")
    assert whole.keys() == broken.keys() and any(name.startswith("optimizer") for name in whole)
    assert [name for name in whole if whole[name].tobytes() != broken[name].tobytes()] == []


def test_a_training_killed_at_any_moment_goes_on_after_its_last_whole_epoch(stripes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "train", "fit", "--data", str(stripes), "--run", str(run)]
    command += [word for each in WORDS for word in ("--set", each)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as begun:
        while not (run / "history.json").is_file():
            assert begun.poll() is None
            time.sleep(0.05)
        begun.kill()
    before = history_of(run)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert history_of(run)[: len(before)] == before and [each["epoch"] for each in history_of(run)] == [1, 2, 3]
    assert sorted(path.name for path in run.glob("*.keras")) == ["best.keras"]


def test_tensorboard_is_told_each_epoch_once_also_of_a_resumed_run(stripes: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from train.fit import fit

    with pytest.raises(KeyboardInterrupt):
        fit([stripes], tmp_path, QUICK, told=stopped_after(2))
    fit([stripes], tmp_path, QUICK)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for name in ("loss", "votes_accuracy", "learning_rate"):
        told = [(each.step, each.tensor_proto.float_val[0]) for each in events.Tensors(name)]
        assert told == [(each["epoch"], pytest.approx(each[name], rel=1e-5)) for each in history_of(tmp_path)]


def test_training_stops_when_it_has_not_become_better_for_long(stripes: Path, tmp_path: Path) -> None:
    from train.fit import fit

    fit([stripes], tmp_path, replace(QUICK, epochs=9, patience=2, peak_rate=0.0, average=0))
    accuracies = [each["validation_accuracy"] for each in history_of(tmp_path)]
    assert len(accuracies) < 9 and max(accuracies[-2:]) <= max(accuracies[:-2])


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_what_was_trained_in_half_precision_is_kept_in_float32(stripes: Path, tmp_path: Path, precision: Any) -> None:
    import keras

    from train.fit import fit, saved

    fit([stripes], tmp_path, replace(QUICK, precision=precision))
    assert history_of(tmp_path)[-1]["loss"] < history_of(tmp_path)[0]["loss"]
    assert {layer.compute_dtype for layer in saved(tmp_path).layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def changed_weights(stripes: Path, run: Path, recipe: Recipe) -> list[set[int]]:
    """For each epoch but the first, which of the network's weights it has moved."""
    from train.fit import fit

    states: list[dict[str, np.ndarray]] = []
    fit([stripes], run, recipe, told=lambda _: states.append(arrays(run)))
    count = sum(name.startswith("model_") for name in states[0])
    return [
        {i for i in range(count) if not np.array_equal(before[f"model_{i}"], after[f"model_{i}"])}
        for before, after in itertools.pairwise(states)
    ]


def test_frozen_layers_do_not_move_and_thaw_when_the_recipe_says(stripes: Path, tmp_path: Path) -> None:
    """Averages of frozen batch normalization included."""
    import keras

    from train.fit import build

    recipe = replace(QUICK, epochs=4, unfreeze=("1:0", "3:2", "4:all"))
    keras.utils.clear_session()
    weights = build(recipe).weights
    heads, last_two = (
        {i for i, each in enumerate(weights) if each.path.startswith(layers)}
        for layers in (("votes/", "label/"), (f"conv2d_{LAST}/", f"batch_normalization_{LAST}/"))
    )
    assert (len(heads), len(last_two)) == (4, 5)
    second, third, fourth = changed_weights(stripes, tmp_path, recipe)
    assert second == heads
    assert third == heads | last_two
    assert fourth == set(range(len(weights)))


def test_valence_and_arousal_are_learned_from_votes_only_as_derived(stripes: Path, tmp_path: Path) -> None:
    """T12."""
    from train.fit import fit, predict, saved

    recipe = replace(LONG, valence="derived")
    fit([stripes], tmp_path, recipe)
    description = json.loads((tmp_path / "run.json").read_text())
    assert description["valence_arousal"] == {"source": "derived", "faces": 160}
    last = history_of(tmp_path)[-1]
    assert last["derived_valence_ccc"] > 0.5 and 0 < last["derived_arousal_rmse"] < 0.6
    assert not {"valence_ccc", "arousal_rmse"} & set(last)
    faces = importers.read_all([stripes])
    assert set(predict(saved(tmp_path), faces, recipe.input)) == {"votes", "label"}


def test_real_valence_and_arousal_are_learned_where_a_data_set_has_them(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train.fit import fit, saved

    def read(path: Path) -> data.FaceSet:
        faces = importers.read(stripes)
        known = np.arange(len(faces)) % 2 == 0
        height = np.linspace(-0.8, 0.8, 8, dtype=np.float32)[faces.majority]
        nothing = np.float32("nan")
        return replace(faces, valence=np.where(known, height, nothing), arousal=np.where(known, -height, nothing))

    with_format(monkeypatch, read)
    fit([tmp_path / "made-up"], tmp_path / "run", replace(LONG, valence="labels"))
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert description["valence_arousal"] == {"source": "labels", "faces": 80}
    assert history_of(tmp_path / "run")[-1]["valence_ccc"] > 0.5 < history_of(tmp_path / "run")[-1]["arousal_ccc"]
    answers = saved(tmp_path / "run").predict(data.inputs(importers.read(stripes), QUICK.input), verbose=0)
    assert answers["valence_arousal"].shape == (208, 2) and np.abs(answers["valence_arousal"]).max() <= 1


def test_faces_that_an_audit_names_stay_out(stripes: Path, tmp_path: Path) -> None:
    from train.findings import excluded
    from train.fit import fit

    faces = data.trainable(importers.read_all([stripes]))
    out = sorted(faces.sha256[:7])
    audit = tmp_path / "audit.csv"
    audit.write_text("\n".join(["sha256,exclude,reason", *[f"{each},1,blurred" for each in out]]) + "\n")
    assert sorted(excluded(audit)) == out
    fit([stripes], tmp_path / "run", replace(QUICK, epochs=1), exclude=audit)
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert description["faces"] == 153 and description["excluded"]["faces"] == 7
    assert len(description["excluded"]["sha256"]) == 64
    assert not set(out) & set((tmp_path / "run" / "manifest.txt").read_text().split())
    with pytest.raises(SettingsError, match="excluded"):
        fit([stripes], tmp_path / "run", replace(QUICK, epochs=1))


def test_teachers_answers_are_learned_instead_of_the_truth(stripes: Path, tmp_path: Path) -> None:
    """A teacher that calls everything happy makes a student that does, and is right on one face of eight."""
    from train.fit import fit

    faces = data.trainable(importers.read_all([stripes]))
    happy = {head: np.eye(len(labels), dtype=np.float32)[[3] * len(faces)] for head, labels in data.HEADS.items()}
    np.savez(tmp_path / "teachers.npz", sha256=faces.sha256, **happy)  # type: ignore[arg-type]  # numpy's stub
    recipe = replace(LONG, teacher_share=1.0)
    fit([stripes], tmp_path / "run", recipe, tmp_path / "teachers.npz")
    last = history_of(tmp_path / "run")[-1]
    assert last["loss"] < 0.1 and last["votes_accuracy"] == last["label_accuracy"] == 1 / 8
    np.savez(tmp_path / "teachers.npz", sha256=faces.sha256, **{head: each * 0.5 for head, each in happy.items()})  # type: ignore[arg-type]  # numpy's stub
    with pytest.raises(SettingsError, match=r"teacher.sha256"):
        fit([stripes], tmp_path / "run", recipe, tmp_path / "teachers.npz")


def test_a_head_that_no_validation_face_can_judge_is_refused(
    tmp_path: Path, stripes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train.fit import fit

    def read(path: Path) -> data.FaceSet:
        faces = importers.read(stripes)
        return replace(faces, majority=np.where(faces.split == "validation", -1, faces.majority))

    with_format(monkeypatch, read)
    with pytest.raises(SourceError, match=r"no faces for validation \(with a right answer for 'votes'\)"):
        fit([tmp_path / "made-up"], tmp_path / "run", QUICK)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    from train.fit import recipe_of, saved

    for ask in (recipe_of, saved):
        with pytest.raises(SourceError, match="expected the folder of a `python -m train fit`"):
            ask(tmp_path)


def test_the_losses_are_those_of_their_papers() -> None:
    """Label smoothing, focal loss, and the part that each head has in the sum."""
    from train.losses import losses

    logits, truth = np.array([[2.0, 0.0, -1.0]], np.float32), np.array([[1.0, 0.0, 0.0]], np.float32)
    chance = np.exp(logits) / np.exp(logits).sum()

    def loss(**more: Any) -> float:
        return float(losses(replace(QUICK, **more))[0]["votes"](truth, logits))

    assert loss() == pytest.approx(-np.log(chance[0, 0]), abs=1e-5)
    assert loss(label_smoothing=0.3) == pytest.approx(-(np.log(chance) * [[0.8, 0.1, 0.1]]).sum(), abs=1e-5)
    focal = (1 - chance[0, 0]) ** 2 * -np.log(chance[0, 0])
    assert loss(balance=Balance(focal=2.0)) == pytest.approx(focal, abs=1e-5)
    assert losses(replace(QUICK, valence="labels", valence_share=0.25))[1] == {
        "votes": 1,
        "label": 1,
        "valence_arousal": 0.25,
    }


def test_discordance_is_one_minus_concordance_and_leaves_out_unknown_faces() -> None:
    from train import valence
    from train.losses import Discordance

    rng = np.random.default_rng(1)
    truth, answers = rng.uniform(-1, 1, (2, 12, 2)).astype(np.float32)
    wanted = 1 - np.mean([valence.concordance(answers[:, each], truth[:, each]) for each in (0, 1)])
    assert float(Discordance()(truth, answers)) == pytest.approx(wanted, abs=1e-5)
    weights = np.r_[np.ones(12), np.zeros(3)].astype(np.float32)
    more = rng.uniform(-1, 1, (2, 3, 2)).astype(np.float32)
    longer = Discordance()(np.concatenate([truth, more[0]]), np.concatenate([answers, more[1]]), weights)
    assert float(longer) == pytest.approx(wanted, abs=1e-5)
    assert float(Discordance()(truth, truth)) == pytest.approx(0, abs=1e-5)
    assert float(Discordance()(truth, answers, np.zeros(12, np.float32))) == 0


def test_long_gradients_are_cut() -> None:
    import keras

    from train.losses import optimizer

    for name in ("sgd", "adamw"):
        steps = optimizer(replace(QUICK, optimizer=name, clip_norm=0.5, weight_decay=0.0))
        assert steps.global_clipnorm == 0.5
    weight = keras.Variable(np.zeros(4, np.float32))
    steps = optimizer(replace(QUICK, optimizer="sgd", clip_norm=0.5, weight_decay=0.0, peak_rate=1.0))
    steps.learning_rate = 1.0
    steps.apply([keras.ops.convert_to_tensor(np.full(4, 100, np.float32))], [weight])
    assert np.linalg.norm(keras.ops.convert_to_numpy(weight)) == pytest.approx(0.5 * 1.9, rel=1e-3)  # Nesterov, 0.9


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    from train.fit import learning_rate

    recipe = replace(QUICK, epochs=12, warmup_epochs=2, peak_rate=1.0)
    rates = [learning_rate(epoch, recipe) for epoch in (0, 1, 2, 7, 12)]
    assert rates == pytest.approx([0.005, 0.505, 1.0, 0.5, 0.0])


def test_training_needs_no_tensorflow(stripes: Path, tmp_path: Path) -> None:
    """With Keras on PyTorch, where that is installed."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    code = (
        "import sys; from pathlib import Path; from train.fit import fit; from train.recipe import Recipe\n"
        "fit([Path(sys.argv[1])], Path(sys.argv[2]), Recipe('residual-nano', epochs=1, batch=16))\n"
        "assert 'tensorflow' not in sys.modules"
    )
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    command = [sys.executable, "-c", code, str(stripes), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run.json").read_text())["backend"] == "torch"


def test_a_step_in_pytorchs_words_learns_what_one_of_keras_does() -> None:
    """Three steps each from the same weights, the same batches."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    code = """if True:
    import keras, numpy as np
    from train import step
    from train.fit import build
    from train.losses import losses, optimizer
    from train.recipe import Recipe
    recipe = Recipe(dropout=0.0, optimizer="sgd", peak_rate=0.01)
    rng = np.random.default_rng(0)
    shares = {"votes": rng.dirichlet(np.ones(8), 48), "label": rng.dirichlet(np.ones(7), 48)}
    whole = rng.normal(size=(48, 48, 48, 1)), shares, {head: rng.random(48) for head in shares}
    batches = [
        (whole[0][rows].astype("f4"), *({head: a[rows].astype("f4") for head, a in part.items()} for part in whole[1:]))
        for rows in np.arange(48).reshape(3, 16)
    ]
    said, weights = [], []
    for way in ("in Keras", "chosen"):
        keras.utils.set_random_seed(1)
        model, steps = build(recipe), optimizer(recipe)
        steps.build(model.trainable_variables)
        each, shares = losses(recipe)
        model.compile(optimizer=steps, loss=each, loss_weights=shares)
        learn = step.in_keras(model) if way == "in Keras" else step.chosen(model, steps, recipe)
        assert learn.__module__ == ("train.step" if way == "in Keras" else "train.native")
        said.append([learn(batch) for batch in batches])
        weights.append(model.get_weights())
    np.testing.assert_allclose(*said, rtol=1e-4)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    """
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
