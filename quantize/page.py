"""The model card as a page for people, made from the card that the file carries."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from edge.config import Limits
from edge.contract import ModelCard, read_card
from quantize.gate import Figures
from train.metrics import wilson

PROTOCOLS = {
    "votes": "The truth is the strict majority of the votes (FER+ protocol: ten people, single votes dropped, more "
    "than half of the rest); of a data set without votes its own label.",
    "label": "The truth is the data set's own label (FER2013: one annotator, seven labels); faces without one of these "
    "labels are left out.",
}

PAGE = """# Model card: {name} {version}

Reads the expression of one face. Made by the commands below; this page is written by the last of them, from the card
inside the file.

| | |
|---|---|
| file | `{file}`, {size_bytes:,} bytes, sha256 `{sha256}` |
| network | {network}, {variant}; input {side} x {side} {colour} from {low:g} to {high:g}, faces aligned by {align} |
| labels | {labels} |
| outcome *uncertain* | below a confidence of {abstain:.2f}, logits divided by the temperature {temperature:.3g} |
| trained on | {data}; {faces:,} faces, copies of validation and test faces removed, manifest sha256 `{manifest}` |
| terms of the data | {licences} |
| licence of the weights | Apache-2.0, as far as they are ours to license; mind the terms of the data |

```bash
{commands}
```

## Measured

{protocol} {count} labels, one crop a face, no test-time augmentation, through the classifier that the device runs.
Judged on faces of {sources}. Everything was chosen on validation; the test split was looked at once, for this file.

| faces | accuracy (95 % interval) | without copies | balanced | macro F1 | ECE | surest 80 % | answered / right |
|---|---|---|---|---|---|---|---|
{rows}

*Without copies*: without the faces that have an identical picture in the training split. *ECE*: expected calibration
error, the mean gap between confidence and accuracy in 15 bins. *Surest 80 %*: how often the answers of most confidence
are right. *Answered / right*: what is not called uncertain, and how often that is right; the threshold was fitted on
validation.

Test faces, label by label, {variant}:

| label | faces | right | recall (95 % interval) | precision |
|---|---:|---:|---|---:|
{label_rows}

More: [validation]({name}-validation.md), [test]({name}-test.md), [float32 on test]({name}-test-float.md).
{robustness}
## The gate

All variants of the same network, on {gate_faces} validation faces, in one run:

{variants}

Invoke: {how}; {machine}. A small computer's processor ranks the variants differently: measure there.
The limits: accuracy at least {limits[accuracy]:.1%}; at most {limits[accuracy_loss]:.1%} accuracy,
{limits[macro_f1_loss]:.2f} macro F1 and {limits[recall_loss]:.1%} of any label's recall lost against float32; the same
label on at least {limits[agreement]:.0%}; calibration error at most {limits[calibration_error]:.0%};
at most {limits[size_bytes]:,} bytes. Where there are so few faces, of a label or of all, that the limit is less than
what chance explains, that is the limit: of lost faces, 1.64 times the square root of those whose answer changed between
right and wrong (McNemar); of the calibration error, what true confidences stay below in 19 of 20 draws.

Int8 ranges are from {calibration_faces} training faces, as many of each label as there are up to 64.{fine_tuned}

{runtimes}

## Limits

{limits_of_use}

## Who is in the data

Nothing here was measured **by age, sex, skin colour, origin, disability, facial difference, or with glasses, masks,
beards or headwear**: the data sets do not say. Published measurements of other models find differences between such
groups; expect them here, too. Children, and people whose faces move little or differently (for example after a stroke
or with Parkinson's disease), were not looked at.

## What it is for

Art, play, research, and a person's own use, where those who are seen know about it and agreed; counting expressions
without deciding about anybody. An expression is not a feeling: people smile without joy, and are sad without showing
it.

**Not for** judging, ranking, hiring, teaching, policing, selling to or treating people, nor for detecting lies or
illness.

**Unlawful in the European Union**: inferring emotions of people at work or in education, except for medical or safety
reasons (AI Act, Regulation (EU) 2024/1689, Article 5(1)(f), since 2 February 2025). Elsewhere in the Union emotion
recognition is a high-risk use (Annex III), those who are exposed to it must be told (Article 50(3)), and pictures of
people are personal data.
"""

ROW = (
    "| {what} (n = {n}) | {accuracy:.2%} ({low:.1%} to {high:.1%}) | {clean[accuracy]:.2%} (n = {clean[n]}) "
    "| {balanced_accuracy:.2%} | {macro_f1:.3f} | {expected_calibration_error:.3f} | {sure[accuracy]:.1%} "
    "| {answered:.1%} / {right:.1%} |"
)
ROWS = {"validation": "validation, {}", "test": "test, {}", "test-float": "test, float32"}
VARIANT_HEAD = (
    "| variant | accuracy | macro F1 | worst label | same label | calibration error | bytes | invoke |\n"
    "|---|---:|---:|---|---:|---:|---:|---:|"
)
VARIANT_NAMES = {
    "float32": "float32",
    "float16": "weights of 16 bits, float32 in and out",
    "dynamic": "int8 weights, activations scaled face by face (dynamic range), float32 in and out",
    "int8": "int8 in, int8 out, per-channel weights",
}
LIMITS_OF_USE = """\
- **Size**: a face narrower than {min_face_px:.0f} pixels is not read (*uncertain*, "small").
- **Sharpness**: a crop below {min_sharpness} (as `edge.perceive.sharpness` measures it) is not read ("blurred").
- **Pose**: a face whose nose is off the eyes' middle by more than {max_turn:.2f} eye distances is not read ("turned").
- **Light**: there is no limit; a dark or glaring picture is read as well as it can be{light}.
{judged}- A camera sees other faces than a data set: turned, far away, in bad light. Expect less there than the figures
  above.
{rare}"""
ABOUT = {
    "fer2013": "FER2013's faces are 48 pixels wide, from web searches, mostly frontal, many of them posed or acted.",
    "muxspace": "muxspace's faces are of public figures and Indian film actors, mostly neutral or happy.",
}
"""What the faces of a data set are like, by its importer's name."""
RARE_BELOW = 100
"""A label with fewer test faces than this is called rare."""


def model_page(content: bytes, file: str) -> str:
    """The page in Markdown for a `.tflite` with a card, its bytes and its name."""
    card = read_card(content, file)
    spec, measured, train = card.input, card.measured, card.train
    variants, promoted = measured["variants"], measured["promoted"]
    return PAGE.format(
        name=card.name,
        version=card.version,
        file=file,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        network=train["recipe"]["network"],
        variant=VARIANT_NAMES[promoted],
        side=spec.side,
        colour="grey" if spec.channels == 1 else "RGB",
        low=spec.low,
        high=spec.high,
        align=spec.align,
        labels=", ".join(card.labels),
        count=len(card.labels),
        abstain=card.abstain,
        temperature=card.temperature,
        data=train["data"],
        faces=train["faces"],
        manifest=train["manifest_sha256"],
        licences="; ".join(train["licences"]),
        commands="\n".join(train["commands"]),
        protocol=PROTOCOLS[measured["head"]],
        sources=_sources(measured["test"]["sources"]),
        rows="\n".join(_row(what.format(promoted), measured[name]) for name, what in ROWS.items()),
        label_rows="\n".join(_label_rows(measured["test"]["per_label"])),
        robustness=_robustness(measured),
        gate_faces=measured["validation"]["n"],
        variants="\n".join([VARIANT_HEAD, *(_variant(name, each) for name, each in variants.items())]),
        how=measured["latency"]["how"],
        machine=measured["latency"]["machine"],
        limits=measured["limits"],
        calibration_faces=train["calibration_faces"],
        fine_tuned=_fine_tuned(train),
        runtimes=_runtimes(measured["runtimes"]),
        limits_of_use=_limits_of_use(card),
    )


def variants_table(figures: Mapping[str, Figures]) -> str:
    """The same table for what was just measured, as Markdown."""
    return "\n".join([VARIANT_HEAD, *(_variant(name, record(each)) for name, each in figures.items())])


def record(figures: Figures) -> dict[str, Any]:
    """What the card keeps of a variant."""
    name, worst = figures.worst()
    left_out = ("labels", "not_int8")
    return {each: value for each, value in vars(figures).items() if each not in left_out} | {
        "worst": {"label": name, "n": worst.n, "lost": worst.lost, "flips": worst.flips}
    }


def _row(what: str, figures: Mapping[str, Any]) -> str:
    low, high = figures["interval_95"]
    answered = figures["abstain"]
    return ROW.format(
        **figures,
        what=what,
        low=low,
        high=high,
        clean=figures["without_copies"],
        sure=figures["surest"],
        answered=answered["answered"],
        right=answered["accuracy"],
    )


def _label_rows(labels: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for label, each in labels.items():
        low, high = wilson(each["hits"], each["n"])
        recall = each["hits"] / max(each["n"], 1)
        yield (
            f"| {label} | {each['n']} | {each['hits']} | {recall:.1%} ({low:.1%} to {high:.1%}) "
            f"| {each['precision']:.1%} |"
        )


def _sources(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,} test faces)" for name, count in counts.items())


def _variant(name: str, each: Mapping[str, Any]) -> str:
    return (
        f"| {name} | {each['accuracy']:.2%} | {each['macro_f1']:.3f} | {_lost(**each['worst'])} "
        f"| {each['agreement']:.2%} | {each['calibration_error']:.3f} | {each['size_bytes']:,} "
        f"| {each['invoke_ms']:.2f} ms |"
    )


def _lost(label: str, n: int, lost: int, flips: int) -> str:
    return f"{label} {-lost / n:+.1%} ({lost} of {n}, {flips} changed)" if lost > 0 else "none loses"


def _fine_tuned(train: Mapping[str, Any]) -> str:
    if "fine_tuned_epochs" not in train:
        return " No fine-tuning for int8 (post-training quantization)."
    return f" The weights were fine-tuned for int8, {train['fine_tuned_epochs']} epochs with fake quantization."


def _runtimes(found: Mapping[str, Mapping[str, Any]]) -> str:
    said = [
        f"- {name}: {each['equal']:.1%} of {each['faces']} validation faces bit by bit the same outputs as "
        f"ai_edge_litert, differing by {each['largest_lsb']} int8 step(s) at most; "
        f"same label on {each['same_label']:.1%}."
        for name, each in found.items()
    ]
    missing = [] if "tflite_runtime" in found else ["- tflite_runtime: not compared."]
    return "\n".join(["The int8 variant on other runtimes:", "", *said, *missing])


def _robustness(measured: Mapping[str, Any]) -> str:
    """A table of accuracies on changed pictures, if the card has it: name of the change to its accuracy."""
    if not (table := measured.get("robustness")):
        return ""
    rows = [f"| {name} | {accuracy:.1%} |" for name, accuracy in table.items()]
    return "\n".join(["", "Validation faces, changed:", "", "| change | accuracy |", "|---|---:|", *rows, ""])


def _limits_of_use(card: ModelCard) -> str:
    labels, limits = card.measured["test"]["per_label"], Limits()
    few = [f"{label} {each['n']}" for label, each in labels.items() if each["n"] < RARE_BELOW]
    return LIMITS_OF_USE.format(
        min_face_px=limits.min_face_px,
        min_sharpness=limits.min_sharpness,
        max_turn=limits.max_turn,
        light=" (see the table of changed pictures)"
        if card.measured.get("robustness")
        else ", and was not measured apart",
        judged="".join(f"- {ABOUT[each]}\n" for each in card.measured["test"]["sources"] if each in ABOUT),
        rare=f"- **Rare**: {', '.join(few)} test faces. Read the figures of these labels with their intervals."
        if few
        else "",
    ).rstrip()
