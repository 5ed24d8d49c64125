"""Models measured on data sets through their real readers: the int8 file that ships, and a small Keras run."""

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.classifier import SHIPPED, Classifier
from edge.contract import FER2013_LABELS, LABELS
from edge.errors import EmotionEdgeError, SettingsError, SourceError
from quantize.card import recarded
from train import data, importers
from train.evaluate import evaluate, predict, read_report
from train.index import index
from train.matrix import common_labels, matrix
from train.models import opened
from train.tables import index_page

BAND = 6


def striped(label: int, rng: np.random.Generator) -> np.ndarray:
    """A noisy picture with one bright band; how far down it lies is the label."""
    face = rng.integers(40, 90, (48, 48), np.uint8)
    face[label * BAND : (label + 1) * BAND] += 120
    return face


def write_folders(folder: Path, labels: tuple[str, ...], counts: dict[str, int], seed: int) -> Path:
    """<split>/<label>/<number>.png with so many pictures of each label."""
    rng = np.random.default_rng(seed)
    for split, count in counts.items():
        for label in labels:
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                cv2.imwrite(str(folder / split / label / f"{number}.png"), striped(LABELS.index(label), rng))
    return folder


@pytest.fixture(scope="module")
def stripes(tmp_path_factory) -> Path:
    """32 training, 4 validation and 4 test pictures of each of the eight labels."""
    counts = {"train": 32, "validation": 4, "test": 4}
    return write_folders(tmp_path_factory.mktemp("data") / "stripes", LABELS, counts, 1)


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Path:
    """A second data set, without contempt."""
    return write_folders(tmp_path_factory.mktemp("data") / "others", FER2013_LABELS, {"train": 1, "validation": 3}, 2)


@pytest.fixture
def manifested(stripes: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The model that ships as if it had been trained on the stripes' training split, and the list of that."""
    training = importers.read_all([stripes])
    training = training.where(training.split == "train")
    manifest, file = tmp_path / "manifest.txt", tmp_path / "as-if.tflite"
    manifest.write_text(data.Trained.of(training).text())
    content = SHIPPED.read_bytes()
    card = Classifier(content, "shipped").card
    train = {**card.train, "manifest_sha256": data.manifest_sha256(training.sha256)}
    file.write_bytes(recarded(content, replace(card, name="as-if", version="1", train=train)))
    return file, manifest


def test_a_file_is_measured_through_the_code_of_the_device(stripes, tmp_path):
    figures = evaluate([stripes], SHIPPED, tmp_path, changed_faces=8)
    classifier = Classifier.read(SHIPPED)
    faces = importers.read_all([stripes])
    faces = faces.where(faces.split == "validation")
    right = [
        int(classifier.logits(face[..., None]).argmax()) == t
        for face, t in zip(faces.pixels, faces.majority, strict=True)
    ]
    assert (figures["n"], figures["accuracy"]) == (32, sum(right) / 32)
    assert figures["protocol"]["temperature"] == classifier.card.temperature
    assert figures["abstain"]["threshold"] == classifier.card.abstain
    assert figures["model"]["sha256"] == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert figures["robustness"]["n"] == 8
    stem = f"{figures['model']['name'].replace(' ', '-')}-validation-votes"
    names = {f"{stem}.json", f"{stem}.md", f"{stem}.png", f"{stem}-robustness.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert read_report(tmp_path / f"{stem}.json") == json.loads(json.dumps(figures))
    page = (tmp_path / f"{stem}.md").read_text()
    assert "no manifest given, so not held against training" in page and f"({stem}-robustness.png)" in page


def test_faces_that_were_trained_on_are_refused(stripes, manifested, tmp_path):
    """T06: a figure on trained faces is no figure."""
    file, manifest = manifested
    figures = evaluate([stripes], file, tmp_path / "out", manifest=manifest, changed_faces=0)
    assert figures["protocol"]["trained_on"] == "none of them was trained on"
    with pytest.raises(SourceError, match="256 of 320 faces to evaluate on were trained on"):
        evaluate([stripes], file, tmp_path / "all", "all", manifest=manifest)
    assert not (tmp_path / "all").exists()


def test_test_faces_that_were_copied_into_training_are_refused(stripes, manifested, tmp_path):
    """T07: one of the pictures that were trained on, in the test split of another data set."""
    file, manifest = manifested
    copied = tmp_path / "copied" / "test" / "happy"
    copied.mkdir(parents=True)
    for name, source in (("a.png", "train/happy/0.png"), ("b.png", "test/happy/0.png")):
        (copied / name).write_bytes((stripes / source).read_bytes())
    with pytest.raises(SourceError, match="1 of 2 faces to evaluate on were trained on"):
        evaluate([tmp_path / "copied"], file, tmp_path / "out", "test", manifest=manifest)


def test_a_manifest_of_another_training_is_refused(stripes, manifested, tmp_path):
    _, manifest = manifested
    with pytest.raises(SettingsError, match="but the card of"):
        evaluate([stripes], SHIPPED, tmp_path, manifest=manifest)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": Path("gone")}, "gone: expected the folder of a `python -m train fit`, or a .tflite file"),
        ({"model": Path("gone.tflite")}, "cannot read the model file"),
        ({"split": "Test"}, "split 'Test': expected one of validation, test, all"),
        ({"paths": [Path("gone")]}, "nothing there"),
        ({"manifest": Path("gone.txt")}, "gone.txt"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(stripes, tmp_path, change, said):
    given = {"paths": [stripes], "model": SHIPPED, "out": tmp_path / "out"} | change
    with pytest.raises(EmotionEdgeError) as error:
        evaluate(**given)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_data_set_without_the_split_is_said(tmp_path, others):
    with pytest.raises(SourceError, match="no test faces among 28"):
        evaluate([others], SHIPPED, tmp_path, "test")


def test_the_matrix_has_a_figure_for_each_model_on_each_data_set(stripes, others, manifested, tmp_path):
    """S42 and T13: what a model is worth on faces of another origin stands beside what it is worth on its own."""
    file, _ = manifested
    found = matrix([stripes, others], [SHIPPED, file, file], tmp_path / "m", "validation")
    shipped = opened(SHIPPED).name
    assert found["models"] == [shipped, "as-if 1", "as-if 1 #2"]
    assert [(each["name"], each["n"]) for each in found["columns"]] == [("others", 21), ("stripes", 32)]
    assert found["cells"]["as-if 1"] == found["cells"][shipped]
    alone = evaluate([others], SHIPPED, tmp_path / "alone", changed_faces=0)
    assert found["cells"][shipped]["others"]["accuracy"] == alone["accuracy"]
    page = (tmp_path / "m.md").read_text()
    assert "| model | others (n = 21) | stripes (n = 32) |" in page
    assert json.loads((tmp_path / "m.json").read_text()) == json.loads(json.dumps(found))
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_a_matrix_of_faces_without_a_known_label_is_refused(tmp_path):
    write_folders(tmp_path / "odd", ("happy",), {"test": 2}, 3)
    (tmp_path / "odd" / "test" / "happy").rename(tmp_path / "odd" / "test" / "bored")
    with pytest.raises(SourceError, match="2 faces, none with a label that all models know: angry"):
        matrix([tmp_path / "odd"], [SHIPPED], tmp_path / "m", "test")


def test_models_are_compared_on_the_labels_that_all_of_them_know():
    assert common_labels([LABELS, FER2013_LABELS]) == FER2013_LABELS
    assert common_labels([("sad", "happy", "fear"), ("fear", "happy")]) == ("fear", "happy")
    with pytest.raises(SettingsError, match="1 labels in common"):
        common_labels([("sad", "happy"), ("fear", "happy")])


def report(folder: Path, name: str, accuracy: float, **changes) -> None:
    """As `evaluate` writes it, as much of it as the index reads."""
    figures: dict[str, Any] = {
        "truth": "votes", "n": 100, "accuracy": accuracy, "interval_95": [accuracy - 0.1, accuracy + 0.1],
        "balanced_accuracy": 0.5, "macro_f1": 0.5, "expected_calibration_error": 0.02, "surest": {"accuracy": 0.9},
        "model": {"name": name, "network": "plain", "parameters": 1234, "epochs": 3, "heads": ["votes"],
                  "size_bytes": 4936, "kind": "int8"},
        "protocol": {"split": "validation", "data": ["d"], "date": "2026-01-01"},
    }  # fmt: skip
    for place, value in changes.items():
        figures["protocol" if place in figures["protocol"] else "model"][place] = value
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-{figures['protocol']['split']}.json").write_text(json.dumps(figures))


def test_the_index_ranks_models_by_validation_accuracy_and_leaves_the_test_split_out(tmp_path):
    """S19: name, network, parameters, epochs, heads, figures, size and date in one table."""
    reports = tmp_path / "reports"
    for name, accuracy in (("low", 0.6), ("high", 0.8), ("middle", 0.7)):
        report(reports, name, accuracy)
    report(reports, "high", 0.123, split="test")
    report(reports, "elsewhere", 0.9, data=["other"])
    (reports / "else.json").write_text("[1]")
    found = index([reports], tmp_path / "index")
    assert [(each["data"], [row["name"] for row in each["rows"]]) for each in found["protocols"]] == [
        (["d"], ["high", "middle", "low"]),
        (["other"], ["elsewhere"]),
    ]
    page = (tmp_path / "index.md").read_text()
    assert "| high | plain | 1,234 | 3 | votes | 4,936 | 80.0% (70.0% to 90.0%) | 90.0% | 0.500 | 0.020 |  |" in page
    assert "12.3%" not in page and "1 reports on other splits than validation are left out" in page
    both = index([reports], tmp_path / "both", ("validation", "test"))
    assert len(both["protocols"]) == 3 and "12.3%" in index_page(both, "t")


def test_the_index_lists_runs_that_nobody_has_evaluated(tmp_path):
    run = tmp_path / "runs" / "first"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"recipe": {"network": "plain", "epochs": 9, "heads": ["votes"]}}))
    history = [{"epoch": e + 1, "validation_accuracy": a, "votes_accuracy": a} for e, a in enumerate((0.1, 0.5, 0.3))]
    (run / "history.json").write_text(json.dumps(history))
    (row,) = index([tmp_path / "runs"], tmp_path / "index")["runs"]
    assert (row["name"], row["network"], row["epochs"], row["planned"], row["best_epoch"]) == (
        "first",
        "plain",
        3,
        9,
        2,
    )
    assert "votes 50.00%" in (tmp_path / "index.md").read_text()
    report(run, "first", 0.5)
    assert index([tmp_path / "runs"], tmp_path / "index")["runs"] == []


def test_an_index_of_nothing_is_refused(tmp_path):
    report(tmp_path, "only", 0.5, split="test")
    with pytest.raises(SourceError, match="1 reports, none of them on validation faces, and no run"):
        index([tmp_path], tmp_path / "out" / "index")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(SourceError, match="no report"):
        index([tmp_path / "bad.json"], tmp_path / "out" / "index")
    assert not (tmp_path / "out").exists()


def test_predictions_are_a_row_for_each_picture_below_the_folder(tmp_path):
    """S37 and T14: `image_path,emotion`, paths with slashes, in order."""
    rng, classifier = np.random.default_rng(4), Classifier.read(SHIPPED)
    written = {}
    for name, label in (("b.png", 0), ("deep/er/a.png", 3), ("deep/c.PNG", 5)):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", striped(label, rng))[1])
        written[name] = LABELS[int(classifier.logits(cv2.imread(str(path), 0)[..., None]).argmax())]
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    out = tmp_path / "new" / "out.csv"
    assert predict([tmp_path / "pictures"], SHIPPED, out) == 3
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["image_path"] for row in rows] == ["b.png", "deep/c.PNG", "deep/er/a.png"]
    assert {row["image_path"]: row["emotion"] for row in rows} == written
    assert predict([tmp_path / "pictures" / "b.png"], SHIPPED, out) == 1
    assert out.read_text() == f"image_path,emotion\nb.png,{written['b.png']}\n"


def test_no_csv_is_left_where_a_picture_cannot_be_read(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    for given, said in ((tmp_path, "broken.png"), (tmp_path / "gone", "no such file or folder")):
        with pytest.raises(SourceError, match=said):
            predict([given], SHIPPED, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.fixture(scope="module")
def run(stripes, tmp_path_factory) -> Path:
    """The folder of a run that has learned the stripes."""
    from train.augment import Augment
    from train.fit import fit
    from train.recipe import Recipe

    nothing: dict[str, Any] = dict.fromkeys(Augment.__dataclass_fields__, 0.0)
    still = Augment(**(nothing | {"jpeg_quality": 95}))
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    fit([stripes], folder, Recipe(network="residual-nano", augment=still, epochs=7, batch=16, warmup_epochs=1))
    return folder


@pytest.mark.train
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_keras_run_is_measured_compared_and_asked(run, stripes, others, tmp_path):
    figures = evaluate([stripes], run, tmp_path, changed_faces=16)
    assert (figures["n"], figures["truth"], figures["model"]["network"]) == (32, "votes", "residual-nano")
    assert figures["accuracy"] > 0.9 and figures["robustness"]["rows"][0]["accuracy"] > 0.9
    assert figures["protocol"]["temperature_from"] == "fitted on 32 validation faces"
    assert figures["model"]["parameters"] > 1000 and figures["model"]["epochs"] == 7
    by_label = evaluate([stripes], run, tmp_path, "test", "label", changed_faces=0)
    assert (by_label["n"], by_label["labels"], by_label["left_out"]) == (28, list(FER2013_LABELS), {"none": 4})
    assert by_label["model"]["heads"] == ["label", "votes"]

    with pytest.raises(SourceError, match="256 of 320 faces to evaluate on were trained on"):
        evaluate([stripes], run, tmp_path, "all")
    with pytest.raises(SettingsError, match="has its own"):
        evaluate([stripes], run, tmp_path, manifest=run / "manifest.txt")

    crossed = matrix([stripes, others], [run, SHIPPED], tmp_path / "m", "all")
    assert crossed["cells"]["tiny"]["stripes"] == {"refused": 256}
    assert crossed["cells"]["tiny"]["others"]["accuracy"] > 0.9
    assert "trained on 256 of them" in (tmp_path / "m.md").read_text()

    found = index([tmp_path, run], tmp_path / "index")
    assert found["runs"] == [] and found["protocols"][0]["rows"][0]["name"] == "tiny"
    assert predict([stripes / "test" / "happy"], run, tmp_path / "out.csv") == 4
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == "0.png,happy"
