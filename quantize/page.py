"""The model card as a page for people, made from the card that the file carries."""

from collections.abc import Mapping
from typing import Any

from edge.contract import ModelCard

PAGE = """# Model card: {name} {version}

Reads the expression of one face. Made by the commands below; this page is written by the last of them.

| | |
|---|---|
| file | `{file}`, {size_bytes:,} bytes, sha256 `{sha256}` |
| network | {kind}, input {side} x {side} {colour} from {low:g} to {high:g}, faces aligned by {align} |
| labels | {labels} |
| outcome *uncertain* | below a confidence of {abstain:.2f}, logits divided by the temperature {temperature:.3g} |
| trained on | {data} ({faces:,} faces, manifest sha256 `{manifest}`) |
| terms of the data | {license} |
| licence of the weights | Apache-2.0, as far as they are ours to license; mind the terms of the data |

```bash
{commands}
```

## Measured

Majority-vote protocol of FER+ (strict majority of ten votes, single votes dropped), 8 labels, one crop a face, through
the classifier that the device runs. The test split was looked at once, after everything was chosen on validation.

| faces | accuracy (95 % interval) | without copies | balanced | macro F1 | calibration error | answered / right |
|---|---|---|---|---|---|---|
{rows}

Int8 against float on {gate_faces} validation faces: {float_accuracy:.2%} float, {int8_accuracy:.2%} int8, same label on
{agreement:.2%}. Tables for each label: [validation]({name}-validation.md), [test]({name}-test.md).

## Limits

- The faces of FER2013 are 48 pixels wide, mostly posed or taken from web searches, mostly frontal. Nothing here was
  measured by age, sex or skin colour; expect differences.
- **Contempt, disgust and fear are rare** in the data ({rare}): read their figures with their intervals.
- An expression is not a feeling. Do not use this to judge people; in the EU, inferring emotions at work or in education
  is prohibited (AI Act, Article 5(1)(f)).
"""

ROW = (
    "| {what} (n = {n}) | {accuracy:.2%} ({low:.1%} to {high:.1%}) | {without_copies:.2%} | {balanced_accuracy:.2%} "
    "| {macro_f1:.3f} | {expected_calibration_error:.3f} | {answered:.1%} / {right:.1%} |"
)
ROWS = {"validation": "validation, int8", "test": "test, int8", "test-float": "test, float"}
RARE = ("contempt", "disgust", "fear")


def model_page(card: ModelCard, file: str, content: bytes, sha256: str, per_label: Mapping[str, Any]) -> str:
    """The page in Markdown; `per_label` are the test figures that `train.metrics.report` gave."""
    spec, gate = card.input, card.measured["gate"]
    return PAGE.format(
        name=card.name,
        version=card.version,
        file=file,
        size_bytes=len(content),
        sha256=sha256,
        kind="int8 in, int8 out, per-channel weights" if card.quant_in else "float32",
        side=spec.side,
        colour="grey" if spec.channels == 1 else "RGB",
        low=spec.low,
        high=spec.high,
        align=spec.align,
        labels=", ".join(card.labels),
        abstain=card.abstain,
        temperature=card.temperature,
        data=card.train["data"],
        faces=card.train["faces"],
        manifest=card.train["manifest_sha256"],
        license=card.train["license"],
        commands="\n".join(card.train["commands"]),
        rows="\n".join(_row(what, card.measured[name]) for name, what in ROWS.items()),
        gate_faces=gate["faces"],
        float_accuracy=gate["float_accuracy"],
        int8_accuracy=gate["int8_accuracy"],
        agreement=gate["agreement"],
        rare=", ".join(f"{label} {per_label[label]['n']}" for label in RARE) + " test faces",
    )


def _row(what: str, figures: Mapping[str, Any]) -> str:
    low, high = figures["interval_95"]
    answered = figures["abstain"]
    return ROW.format(
        **figures, what=what, low=low, high=high, answered=answered["answered"], right=answered["accuracy"]
    )
