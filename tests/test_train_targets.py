"""Recipe, targets, balance, mixing, valence and arousal: what a network is told, without a network."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.contract import LABELS
from edge.errors import SettingsError
from train import mixing, networks, valence
from train.data import Face, FaceSet, gathered, joined
from train.recipe import ALL_LAYERS, Balance, Recipe, changed, told, trained_layers
from train.targets import targets

HAPPY, SAD, NEUTRAL, CONTEMPT = (LABELS.index(name) for name in ("happy", "sad", "neutral", "contempt"))


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (48, 48), np.uint8)


def labelled(counts: dict[str, int], source: str = "made-up", **more: Any) -> FaceSet:
    """So many training faces of each label."""
    names = [name for name, count in counts.items() for _ in range(count)]
    return gathered((Face(picture(i), str(i), name, "train", **more) for i, name in enumerate(names)), source, "none")


def voted(*votes: dict[str, float]) -> FaceSet:
    """A training face, without a label, for each table of shares."""
    shares = [np.array([each.get(name, 0) for name in LABELS], np.float32) for each in votes]
    tops = [int(each.argmax()) if each.max() > 0.5 else -1 for each in shares]
    faces = (Face(picture(i), str(i), "", "train", v, top) for i, (v, top) in enumerate(zip(shares, tops, strict=True)))
    return gathered(faces, "voted", "none")


# Recipe


def test_settings_are_read_as_what_they_are() -> None:
    words = {
        "epochs": "3",
        "dropout": "0",
        "heads": "label",
        "optimizer": "sgd",
        "balance.capped": "muxspace, other",
        "input.channels": "3",
        "augment.flip_share": "0.25",
        "unfreeze": "1:0,4:30,8:all",
    }
    recipe = changed(Recipe(), words)
    assert (recipe.epochs, recipe.dropout, recipe.heads, recipe.optimizer) == (3, 0.0, ("label",), "sgd")
    assert (recipe.balance.capped, recipe.input.channels, recipe.augment.flip_share) == (("muxspace", "other"), 3, 0.25)
    assert [trained_layers(recipe, epoch) for epoch in (0, 2, 3, 6, 7, 50)] == [0, 0, 30, 30, ALL_LAYERS, ALL_LAYERS]
    assert trained_layers(Recipe(), 0) == ALL_LAYERS
    assert changed(recipe, {"balance.capped": ""}).balance.capped == ()


def test_a_network_brings_the_side_that_suits_it_unless_one_is_set() -> None:
    assert changed(Recipe(), {"network": "mini-xception"}).input.side == 64
    assert changed(Recipe(), {"input.side": "48", "network": "mini-xception"}).input.side == 48
    assert changed(Recipe(), {"input.side": "56"}).input.side == 56


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("epoch", "3", "'epoch'; did you mean 'epochs'?"),
        ("augment.flip", "3", "'augment.flip'"),
        ("epochs", "many", "epochs = 'many': expected a whole number"),
        ("epochs", "2.5", "expected a whole number"),
        ("dropout", "much", "expected a number"),
        ("epochs", "0", "epochs = 0: expected 1 to"),
        ("batch", "0", "batch = 0: expected 1 to"),
        ("teacher_share", "1.1", "teacher_share = 1.1: expected 0 to 1"),
        ("average", "nan", "average = nan"),
        ("average", "1", "average = 1.0"),
        ("balance.focal", "-1", "balance.focal = -1.0"),
        ("augment.flip_share", "2", "augment.flip_share = 2.0"),
        ("optimizer", "adam", "optimizer = 'adam': expected one of adamw, sgd"),
        ("input.channels", "2", "input.channels = '2': expected one of 1, 3"),
        ("input.side", "5", "input side 5"),
        ("heads", "votes,moods", "heads = 'moods': expected one of votes, label"),
        ("heads", "votes,votes", "each once"),
        ("heads", "", "expected one or more"),
        ("input", "3", "expected one of its own, as in input.side=VALUE"),
        ("batch.size", "3", "it has no parts"),
        ("network", "transformer", "expected one of baseline"),
        ("unfreeze", "2:all", "expected to begin with 1"),
        ("unfreeze", "1:0,1:all", "to rise"),
        ("unfreeze", "1:some", "expected EPOCH:LAYERS"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_in_one_line(name: str, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        changed(Recipe(), {name: text})
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_recipe_comes_back_from_json() -> None:
    recipe = changed(
        Recipe(),
        {"unfreeze": "1:0,2:all", "balance.cap": "9", "input.side": "64", "augment.shift": "0.2", "valence": "labels"},
    )
    assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe
    assert Recipe.from_dict({"epochs": 7, "dropout": 0}) == Recipe(epochs=7, dropout=0.0)


@pytest.mark.parametrize(
    "table", [{"epochs": "7"}, {"epochs": True}, {"heads": "votes"}, {"input": 48}, {"balance": {"caps": 1}}, {"x": 1}]
)
def test_json_that_is_no_recipe_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="recipe setting"):
        Recipe.from_dict(table)


def test_weights_from_elsewhere_need_a_network_that_can_have_them() -> None:
    with pytest.raises(SettingsError, match=r"weights 'imagenet'.*residual"):
        Recipe(weights="imagenet")
    assert Recipe(network="vgg19", weights="imagenet").weights == "imagenet"


def test_every_network_names_a_file_of_ours() -> None:
    folder = Path(networks.__file__).parent
    files = {each.place.split(":")[0] for each in networks.NETWORKS.values()}
    assert files == {path.stem for path in folder.glob("*.py")} - {"__init__", "pretrained"}


# Targets


def test_a_label_and_the_votes_become_shares_and_what_is_unknown_counts_nothing() -> None:
    faces = joined([labelled({"happy": 1, "contempt": 1}), voted({"sad": 0.6, "fear": 0.4}, {})])
    aims = targets(faces, Recipe())
    assert aims.weights["votes"].tolist() == [1, 1, 1, 0] and aims.weights["label"].tolist() == [1, 0, 0, 0]
    assert aims.shares["votes"][2].tolist() == pytest.approx([0, 0, 0.4, 0, 0.6, 0, 0, 0])
    assert aims.shares["votes"][0, HAPPY] == pytest.approx(0.9 + 0.1 / 8)  # one person alone is not certain
    assert aims.shares["label"][0].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert aims.main.tolist() == [HAPPY, CONTEMPT, SAD, -1]
    rows = np.array([2, 0])
    assert np.array_equal(aims.of(rows)["votes"], aims.shares["votes"][rows])
    assert aims.weights_of(rows)["label"].tolist() == [0, 1]


def test_agreement_of_several_people_is_certain() -> None:
    faces = voted({"happy": 1.0}, {"sad": 0.5, "fear": 0.5})
    assert targets(faces, Recipe()).shares["votes"][0, HAPPY] == 1


def test_a_cap_holds_for_the_sources_that_it_is_for_and_draws_others_each_epoch() -> None:
    faces = joined([labelled({"happy": 20, "sad": 4}, "large"), labelled({"happy": 20}, "small")])
    aims = targets(faces, Recipe(balance=Balance(cap=5, capped=("large",))))
    draws = [set(aims.drawn(np.random.default_rng(epoch)).tolist()) for epoch in range(40)]
    for drawn in draws:
        assert len(drawn & set(range(20))) == 5 and drawn >= set(range(20, 44))
    assert set.union(*draws) >= set(range(20))
    assert len(targets(faces, Recipe(balance=Balance(cap=5))).drawn(np.random.default_rng(0))) == 5 + 4 + 5


def test_without_balance_each_face_is_drawn_once() -> None:
    aims = targets(labelled({"happy": 9, "sad": 2}), Recipe())
    assert sorted(aims.drawn(np.random.default_rng(0)).tolist()) == list(range(11))


@pytest.mark.parametrize(("power", "rare_share"), [(0.5, 0.25), (1.0, 0.5)])
def test_rare_labels_are_drawn_more_often(power: float, rare_share: float) -> None:
    """By the square root of 900 to 100, one in four is the rare one; by the whole power every second."""
    aims = targets(labelled({"happy": 900, "sad": 100}), Recipe(balance=Balance(power=power)))
    rare = np.mean([(aims.drawn(np.random.default_rng(epoch)) >= 900).mean() for epoch in range(10)])
    assert rare == pytest.approx(rare_share, abs=0.02)


def test_frequency_is_counted_after_the_cap() -> None:
    aims = targets(labelled({"happy": 900, "sad": 100}), Recipe(balance=Balance(cap=100, power=1.0)))
    rare = np.mean([(aims.drawn(np.random.default_rng(epoch)) >= 900).mean() for epoch in range(10)])
    assert rare == pytest.approx(0.5, abs=0.05)


def test_rare_labels_weigh_more() -> None:
    weights = targets(labelled({"happy": 90, "sad": 10}), Recipe(balance=Balance(class_weights=1.0))).weights["votes"]
    assert weights[95] / weights[0] == pytest.approx(9, rel=1e-5)


def test_a_face_that_the_first_head_knows_nothing_of_is_no_rare_label() -> None:
    faces = joined([labelled({"angry": 5, "happy": 5}), voted(*[{"sad": 0.6, "fear": 0.4}] * 2)])
    heads = Recipe(heads=("label", "votes"), balance=Balance(class_weights=1.0, cap=3))
    aims = targets(faces, heads)
    assert aims.main.tolist() == [0] * 5 + [HAPPY] * 5 + [-1] * 2
    assert set(aims.weights["votes"]) == {np.float32(1)}
    assert len(aims.drawn(np.random.default_rng(0))) == 3 + 3 + 2


def test_teachers_answers_are_mixed_in_and_fill_what_is_unknown(tmp_path: Path) -> None:
    faces = joined([labelled({"happy": 1}), voted({"sad": 0.6, "fear": 0.4})])
    answers = {head: np.full((2, n), 1 / n, np.float32) for head, n in (("votes", 8), ("label", 7))}
    np.savez(tmp_path / "t.npz", sha256=faces.sha256[::-1], **answers)  # type: ignore[arg-type]  # numpy's stub
    aims = targets(faces, Recipe(teacher_share=0.25), tmp_path / "t.npz")
    assert aims.shares["label"][0].tolist() == pytest.approx([*[0.25 / 7] * 3, 0.75 + 0.25 / 7, *[0.25 / 7] * 3])
    assert aims.shares["label"][1].tolist() == pytest.approx([1 / 7] * 7)
    assert aims.weights["label"].tolist() == [1, 1]


def test_a_file_that_is_no_teachers_is_named(tmp_path: Path) -> None:
    faces, path = labelled({"happy": 2}), tmp_path / "t.npz"
    votes = np.full((1, 8), 1 / 8, np.float32)
    wrong: list[tuple[dict[str, Any] | bytes | None, str]] = [
        (None, "no answers"),
        (b"torn", "no answers"),
        ({"sha256": faces.sha256[:1], "votes": votes}, "lacks label"),
        ({"sha256": faces.sha256[:1], "votes": votes, "label": votes[:, :7]}, "lacks 1 of 2 faces"),
    ]
    for content, said in wrong:
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content:
            np.savez(path, **content)
        with pytest.raises(SettingsError, match=said):
            targets(faces, Recipe(), path)


# Mixing


def batch(n: int = 4) -> mixing.Batch:
    """The pixels of face i are all i; its target is label i; the last face is unknown."""
    x = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, 10, 10, 1)).copy()
    weights = np.r_[np.ones(n - 1), 0].astype(np.float32)
    return x, {"votes": np.eye(n, 8, dtype=np.float32)}, {"votes": weights}


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_pixels_and_targets_are_mixed_by_the_same_share(way: str) -> None:
    means, whole = set(), []
    for seed in range(30):
        x, shares, weights = mixing.mixed(batch(), {way: 1.0}, np.random.default_rng(seed))
        for i in np.flatnonzero(weights["votes"] > 0.9999):  # of two faces that are known
            means.add(round(float(x[i].mean()), 3))
            assert shares["votes"][i] @ np.arange(8) == pytest.approx(x[i].mean(), abs=1e-4)
        whole.append(bool((x == np.round(x)).all()))
    assert len(means) > 10
    assert all(whole) if way == "cutmix" else not all(whole)


def test_the_unknown_half_of_a_mixed_face_says_nothing() -> None:
    """As the mean of both faces' losses would: the other's target is whole, and weighs what its share is."""
    for seed in range(30):
        _, targets_, weights = mixing.mixed(batch(), {"mixup": 1.0}, np.random.default_rng(seed))
        assert (targets_["votes"][:3, 3] == 0).all()
        assert np.allclose(targets_["votes"][:3].sum(axis=1), 1)
        assert (weights["votes"] <= 1 + 1e-6).all()
        assert weights["votes"].sum() == pytest.approx(3, abs=1e-5)


def test_the_last_fifth_of_the_epochs_is_not_mixed() -> None:
    recipe = Recipe(epochs=10, mixup=0.2, cutmix=0.0)
    assert [bool(mixing.chosen(recipe, epoch)) for epoch in range(10)] == [True] * 8 + [False] * 2
    assert mixing.chosen(replace(recipe, cutmix=0.3), 0) == {"mixup": 0.2, "cutmix": 0.3}
    assert mixing.chosen(replace(recipe, mixup=0.0), 0) == {}


# Valence and arousal


def test_derived_valence_and_arousal_are_the_means_of_the_labels_voted_for() -> None:
    """T12: it tells nothing beyond the label, so only a recipe that says "derived" gets it. Arousal is turned from
    0..1 to -1..1."""
    faces = voted({"happy": 1.0}, {"sad": 0.5, "neutral": 0.5}, {})
    aims, known = valence.aims(faces, "derived")
    assert aims[0].tolist() == pytest.approx([0.76, 2 * 0.48 - 1])
    assert aims[1].tolist() == pytest.approx([-0.63 / 2, (2 * 0.27 - 1 - 1) / 2])
    assert known.tolist() == [1, 1, 0]
    assert np.abs(valence.DERIVED_MEANS).max() <= 1


def test_valence_and_arousal_come_from_real_labels_or_not_at_all() -> None:
    """T12: a label without them does not become one; there is no head unless the recipe asks for it."""
    rated = gathered([Face(picture(0), "0", "happy", "train", valence=0.2, arousal=-0.4)], "rated", "none")
    half = gathered([Face(picture(1), "1", "happy", "train", valence=0.2)], "half", "none")
    faces = joined([rated, half, labelled({"happy": 1})])
    aims = targets(faces, Recipe(valence="labels"))
    assert aims.weights[networks.VALENCE_AROUSAL].tolist() == [1, 0, 0]
    assert aims.shares[networks.VALENCE_AROUSAL][0].tolist() == pytest.approx([0.2, -0.4])
    assert np.isfinite(aims.shares[networks.VALENCE_AROUSAL]).all()
    assert networks.VALENCE_AROUSAL not in targets(faces, Recipe()).shares


def test_concordance_is_that_of_lin() -> None:
    """1 for the same, -1 for the mirror image, 0 for a constant; a shift or another scale costs, unlike correlation."""
    x = np.array([-0.6, -0.1, 0.2, 0.5], np.float32)
    assert valence.concordance(x, x) == pytest.approx(1)
    assert valence.concordance(x - x.mean(), x.mean() - x) == pytest.approx(-1)
    assert valence.concordance(np.zeros(4, np.float32), x) == 0
    spread = float(x.astype(np.float64).var())
    assert valence.concordance(x + np.float32(0.3), x) == pytest.approx(2 * spread / (2 * spread + 0.09), abs=1e-5)
    figures = valence.figures(np.stack([x, x], axis=1), np.stack([x, x + np.float32(0.3)], axis=1))
    assert figures["valence_ccc"] == pytest.approx(1) and figures["arousal_rmse"] == pytest.approx(0.3, abs=1e-5)


def test_what_differs_from_the_default_recipe_is_told_as_it_is_given():
    given = {"epochs": "7", "balance.capped": "a,b", "augment.shift": "0.01", "network": "plain", "heads": "label"}
    recipe = changed(Recipe(), given)
    words = told(recipe)
    assert sorted(words) == sorted(f"{name}={value}" for name, value in given.items())
    assert changed(Recipe(), dict(each.split("=") for each in words)) == recipe
    assert told(Recipe()) == []
