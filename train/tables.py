"""Pages in Markdown of what was measured: the headline first, then how it was measured, then the tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PROTOCOLS = {
    "votes": "the strict majority of the votes (FER+: ten people, single votes dropped, more than half of the rest); "
    "of a data set without votes its own label",
    "label": "the data set's own label (FER2013: one annotator, seven labels)",
}
SHOWN_COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.5)

Row = Sequence[object]


def table(head: Sequence[str], rows: Sequence[Row], text_columns: int = 1) -> list[str]:
    """A Markdown table, all but its first few columns set to the right."""
    ruler = ["---"] * text_columns + ["---:"] * (len(head) - text_columns)
    return ["", *(f"| {' | '.join(map(str, row))} |" for row in (head, ruler, *rows)), ""]


def with_interval(share: float, interval: Sequence[float]) -> str:
    """84.3% (83.0% to 85.6%)"""
    return f"{share:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"


def report_page(figures: Mapping[str, Any], title: str, picture: str = "") -> str:
    """A report of `metrics.report`, with what `evaluate` adds to it if that is there."""
    lines = [f"# {title}", "", *_headline(figures), "", *_protocol(figures), *_answers_seen(figures)]
    lines += ["## Label by label", *_labels(figures), "## How sure", *_surest(figures)]
    if picture:
        lines += [f"![confusion, reliability, risk and coverage]({picture})", ""]
    if "robustness" in figures:
        lines += ["## Changed faces", *robustness_table(figures["robustness"])]
        lines += [f"![accuracy on changed faces]({picture.removesuffix('.png')}-robustness.png)", ""] if picture else []
    return "\n".join(lines)


def _headline(figures: Mapping[str, Any]) -> Iterator[str]:
    low, high = figures["interval_95"]
    clean, sure = figures["without_copies"], figures["surest"]
    yield (
        f"Accuracy **{figures['accuracy']:.2%}** (n = {figures['n']}, 95 % interval {low:.1%} to {high:.1%})"
        + (f"; without copies of training faces {clean['accuracy']:.2%} (n = {clean['n']})." if clean["n"] else ".")
    )
    yield (
        f"Balanced accuracy {figures['balanced_accuracy']:.2%}, macro F1 {figures['macro_f1']:.3f}, "
        f"expected calibration error {figures['expected_calibration_error']:.3f}; "
        f"of the {sure['coverage']:.0%} surest answers {sure['accuracy']:.2%} are right."
    )


def _protocol(figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"- Truth: {PROTOCOLS[figures['truth']]}."
    if left_out := figures["left_out"]:
        counts = ", ".join(f"{count} {name if name != 'none' else 'without one'}" for name, count in left_out.items())
        yield f"- Left out, for lack of such a truth or of the label: {counts}."
    if "model" in figures:
        yield f"- Model: {_model(figures['model'])}."
    if "protocol" in figures:
        said = figures["protocol"]
        yield f"- Faces: the {said['split']} split of {', '.join(said['data'])}; {said['trained_on']}."
        yield f"- Confidence: softmax at the temperature {said['temperature']:.3g}, {said['temperature_from']}."


def _model(model: Mapping[str, Any]) -> str:
    known = [("network {}", "network"), ("{:,} parameters", "parameters"), ("{} epochs", "epochs")]
    known += [("{:,} bytes", "size_bytes"), ("{}", "kind"), ("sha256 {:.8}", "sha256")]
    told = [form.format(model[name]) for form, name in known if model.get(name) is not None]
    return ", ".join([f"`{model['name']}`", *told])


def _answers_seen(figures: Mapping[str, Any]) -> list[str]:
    """The same answers on other faces, and with fewer labels."""
    seen = {"all": figures, "without copies of training faces": figures["without_copies"]}
    if len(figures["sources"]) > 1:
        seen |= {f"of {name} alone": each for name, each in figures["sources"].items()}
    seen |= {f"as {name}": each for name, each in figures["views"].items()}
    rows = [
        (
            name,
            each["n"],
            with_interval(each["accuracy"], each["interval_95"]),
            f"{each['balanced_accuracy']:.1%}",
            f"{each['macro_f1']:.3f}",
        )
        for name, each in seen.items()
        if each["n"]
    ]
    head = ("faces", "n", "accuracy (95 % interval)", "balanced accuracy", "macro F1")
    notes = [_about_views(figures["views"])]
    return [*table(head, rows), *notes, ""]


def _about_views(views: Mapping[str, Any]) -> str:
    seven = "As 7 labels: contempt cannot be answered, and its faces do not count. " if "7 labels" in views else ""
    return (
        f"{seven}As 3 groups: happy is positive; neutral and surprise are neutral; the others negative; "
        "probabilities of a group are summed."
    )


def _labels(figures: Mapping[str, Any]) -> list[str]:
    head = ("label", "n", "right", "recall (95 % interval)", "answered", "precision (95 % interval)", "F1")
    rows = [
        (
            label,
            each["n"],
            each["hits"],
            with_interval(each["recall"], each["recall_interval_95"]) if each["n"] else "",
            each["named"],
            with_interval(each["precision"], each["precision_interval_95"]) if each["named"] else "",
            f"{each['f1']:.3f}" if each["n"] else "",
        )
        for label, each in figures["per_label"].items()
    ]
    return table(head, rows)


def _surest(figures: Mapping[str, Any]) -> list[str]:
    points = [each for each in figures["risk_coverage"]["points"] if each["coverage"] in SHOWN_COVERAGES]
    rows = [
        (f"{each['coverage']:.0%}", each["n"], f"{each['accuracy']:.1%}", f"{each['confidence']:.2f}")
        for each in reversed(points)
    ]
    lines = table(("surest answers", "n", "right", "confidence at least"), rows)
    lines += [
        f"Mean confidence {figures['confidence']:.1%}, accuracy {figures['accuracy']:.1%}; "
        f"area under the risk-coverage curve {figures['risk_coverage']['aurc']:.4f}."
    ]
    if abstain := figures.get("abstain"):
        lines += [
            f"With *uncertain* below a confidence of {abstain['threshold']:.2f}, {abstain['answered']:.1%} of the "
            f"faces get an answer, and {abstain['accuracy']:.1%} of these answers are right."
        ]
    return [*lines, ""]


def robustness_table(found: Mapping[str, Any]) -> list[str]:
    """What `robustness.robustness` found."""
    head = ("faces", "accuracy (95 % interval)", "lost, points", "macro F1", "mean confidence")
    rows = [
        (
            each["name"],
            with_interval(each["accuracy"], each["interval_95"]),
            f"{100 * each['lost']:.1f}" if each["kind"] != "clean" else "",
            f"{each['macro_f1']:.3f}",
            f"{each['confidence']:.1%}",
        )
        for each in found["rows"]
    ]
    about = (
        f"Mean over the kinds of change **{found['mean']:.1%}**. The same {found['n']} faces in each row, "
        f"{found['side']} pixels wide, changed with seed {found['seed']}."
    )
    return ["", about, *table(head, rows)]


def matrix_page(found: Mapping[str, Any], title: str, picture: str = "") -> str:
    """What `matrix.matrix` found."""
    columns, cells = found["columns"], found["cells"]
    head = ["model", *(f"{each['name']} (n = {each['n']})" for each in columns)]
    rows = [[name, *(_cell(cells[name][each["name"]]) for each in columns)] for name in found["models"]]
    lines = [f"# {title}", "", "Accuracy (95 % interval), macro F1.", *table(head, rows)]
    lines += [
        f"- Faces: the {found['split']} split; the same faces for every model of a column.",
        "- Labels, mapped by name: those that all models know. A model's other labels cannot be answered, and "
        "faces with another label do not count.",
        *(f"- {each['name']}: {', '.join(each['labels'])}; truth is {PROTOCOLS[each['truth']]}." for each in columns),
    ]
    lines += [f"- {each}" for each in found["notes"]]
    return "\n".join([*lines, "", *([f"![accuracies]({picture})", ""] if picture else [])])


def _cell(cell: Mapping[str, Any]) -> str:
    if "refused" in cell:
        return f"trained on {cell['refused']} of them"
    return f"{with_interval(cell['accuracy'], cell['interval_95'])}, {cell['macro_f1']:.3f}"


def index_page(found: Mapping[str, Any], title: str) -> str:
    """What `index.index` collected: a table for each protocol, the best model first."""
    head = ["model", "network", "parameters", "epochs", "heads", "size, bytes", "accuracy (95 % interval)"]
    head += ["80 % surest", "macro F1", "ECE", "changed faces", "date"]
    lines = [f"# {title}", ""]
    for each in found["protocols"]:
        lines += [f"## {each['split']}: {', '.join(each['data'])}, truth by {each['truth']} (n = {each['n']})"]
        lines += table(head, [_index_row(row) for row in each["rows"]], text_columns=2)
    if found["runs"]:
        lines += ["## Trainings without a report", *_runs(found["runs"])]
    lines += [f"- {each}" for each in found["notes"]]
    return "\n".join([*lines, ""])


def _index_row(row: Mapping[str, Any]) -> Row:
    def told(name: str, form: str) -> str:
        return form.format(row[name]) if row[name] is not None else ""

    return (
        row["name"],
        row["network"] or "",
        told("parameters", "{:,}"),
        told("epochs", "{}"),
        ", ".join(row["heads"]),
        told("size_bytes", "{:,}"),
        with_interval(row["accuracy"], row["interval_95"]),
        told("surest", "{:.1%}"),
        told("macro_f1", "{:.3f}"),
        told("expected_calibration_error", "{:.3f}"),
        told("robustness", "{:.1%}"),
        row["date"],
    )


def _runs(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ("run", "network", "heads", "epochs", "best epoch", "validation accuracy")
    rows = [
        (
            each["name"],
            each["network"],
            ", ".join(each["heads"]),
            f"{each['epochs']} of {each['planned']}",
            each["best_epoch"],
            ", ".join(f"{name} {share:.2%}" for name, share in each["accuracies"].items()),
        )
        for each in runs
    ]
    return table(head, rows, text_columns=3)
