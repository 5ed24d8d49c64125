"""A search over recipe settings with Optuna: it goes on after an interruption, and workers share one folder."""

import json
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

from edge.errors import SettingsError
from train.fit import fit
from train.recipe import Recipe, changed

HEARTBEAT_SECONDS = 30


def sweep(paths: list[Path], out: Path, ranges: dict[str, str], trials: int, recipe: Recipe) -> dict[str, Any]:
    """Up to `trials` finished trials, those of earlier calls and of other workers counted; the best one.

    ranges  from a recipe setting to `low:high` (evenly), `low:high:log`, or `this|that|other`
    Each trial is a run of its own in `out`, judged by its best validation accuracy; hopeless ones end early (median of
    the others at the same epoch). A killed trial is taken up again by the next worker, after its last whole epoch.
    SettingsError for a range that cannot be read, or a setting that the recipe does not have.
    """
    for name, text in ranges.items():
        changed(recipe, {name: str(_first(name, text))})
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="sweep",
        storage=_storage(out / "sweep.sqlite"),
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=recipe.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=recipe.epochs // 4),
    )
    study.optimize(
        lambda trial: _tried(trial, paths, out, ranges, recipe),
        callbacks=[
            optuna.study.MaxTrialsCallback(
                trials, states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
            )
        ],
    )
    best = {"accuracy": study.best_value, "settings": study.best_params, "run": _folder(out, study.best_trial).name}
    (out / "best.json").write_text(json.dumps(best, indent=1) + "\n")
    return best


def _storage(path: Path) -> RDBStorage:
    return RDBStorage(
        f"sqlite:///{path}",
        engine_kwargs={"connect_args": {"timeout": 60}},
        heartbeat_interval=HEARTBEAT_SECONDS,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
    )


def _tried(trial: optuna.Trial, paths: list[Path], out: Path, ranges: dict[str, str], recipe: Recipe) -> float:
    settings = {name: str(_suggested(trial, name, text)) for name, text in ranges.items()}
    best = 0.0

    def told(figures: dict[str, float]) -> None:
        nonlocal best
        best = max(best, figures["validation_accuracy"])
        trial.report(figures["validation_accuracy"], int(figures["epoch"]))
        if trial.should_prune():
            raise optuna.TrialPruned

    fit(paths, _folder(out, trial.study.trials[trial.number]), changed(recipe, settings), told=told)
    return best


def _folder(out: Path, trial: optuna.trial.FrozenTrial) -> Path:
    """A trial that takes up a killed one goes on in its folder."""
    number = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return out / f"trial-{trial.number if number is None else number:04d}"


def _suggested(trial: optuna.Trial, name: str, text: str) -> Any:
    if "|" in text:
        return trial.suggest_categorical(name, text.split("|"))
    low, high, log = _bounds(name, text)
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=log)
    return trial.suggest_float(name, float(low), float(high), log=log)


def _first(name: str, text: str) -> Any:
    return text.split("|")[0] if "|" in text else _bounds(name, text)[0]


def _bounds(name: str, text: str) -> tuple[float, float, bool]:
    low, _, rest = text.partition(":")
    high, _, scale = rest.partition(":")
    try:
        numbers = tuple(int(each) if each.lstrip("-").isdigit() else float(each) for each in (low, high))
    except ValueError:
        numbers = (0, 0)
    if numbers[0] >= numbers[1] or scale not in ("", "log") or (scale and numbers[0] <= 0):
        raise SettingsError(f"range {name}={text!r}: expected low:high, low:high:log (above 0), or this|that")
    return numbers[0], numbers[1], bool(scale)
