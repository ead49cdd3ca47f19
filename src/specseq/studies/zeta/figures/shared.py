"""What the figures of the zeta study share: labels, reference rows and sample sizes."""

import pandas as pd

from specseq.report.style import spread

# What stands beside each other where curves would be too many: the note's models and what goes beyond them.
COMPARED = ("zeta/models/", "zeta/beyond/")
DASHES = ("-", "--", ":", "-.")  # of reference lines
SHOWN = ("wigner", "ar32", "ar127", "ar255")


def model_labels(rows: pd.DataFrame) -> dict[str, str]:
    """The models shown as the figures call them, by run group; with their windows where those differ.

    Args:
        rows: the rows shown, with ``group`` and ``length``.
    """
    lengths = rows.groupby("group", sort=False)["length"].max()
    windows = [f", window {length}" if lengths.nunique() > 1 else "" for length in lengths]
    groups = [str(group) for group in lengths.index]
    return {group: model_label(group) + window for group, window in zip(groups, windows, strict=True)}


def model_label(group: str) -> str:
    """``zeta/models/memory_causal_shuffled`` as ``memory (causal mask)``.

    Models of the sweep ``leak`` are small, those of ``size`` spectral.
    """
    name = group.rsplit("/", 1)[-1].removesuffix("_shuffled").removesuffix("_gue")
    if name.startswith("limit"):
        return f"spectral, {int(name.removeprefix('limit')):,} spacings"
    name = f"small memory_{name}" if group.startswith("zeta/leak/") else name
    for mask in ("published", "causal"):
        if name.endswith(f"_{mask}"):
            return f"{name.removesuffix(f'_{mask}')} ({mask} mask)"
    return name


def reference_label(name: str) -> str:
    """``ar32`` as ``AR(32)``."""
    order = name.removeprefix("ar")
    return f"AR({order})" if order.isdigit() else {"wigner": "iid Wigner"}.get(name, name)


def references(long: pd.DataFrame, task: str, metric: str, step: int = -1) -> dict[str, float]:
    """A metric of the reference predictors on a test set, by name.

    Args:
        long: all results of the study.
        task: ``real/test``, ``shuffled/test`` ...
        metric: name of the metric.
        step: its step, e.g. the horizon of an accumulated error.
    """
    rows = long[(long["task"] == task) & (long["metric"] == metric) & (long["step"] == step)]
    named = rows[rows["run"].str.startswith("zeta/references/")]
    values = dict(zip(named["run"].str.removeprefix("zeta/references/"), named["value"], strict=True))
    return {name: values[name] for name in SHOWN if name in values}


def counts(long: pd.DataFrame, shown: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """What the models shown stand on: the least and the most ``windows`` of a run and ``seeds`` of a model.

    Args:
        long: all results of the study.
        shown: the rows shown.
    """
    windows = long.loc[(long["metric"] == "windows") & long["run"].isin(shown["run"]), "value"]
    return {"windows": spread(windows), "seeds": spread(shown.groupby("group")["seed"].nunique())}
