"""What a study declares, and the view of result files that its declarations take.

Nothing here imports torch or pandas: the workflow reads it whenever it plans.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from specseq.sweeps import Plan, without_seed

BENCHMARKS = ("gift_eval", "fev")

Inputs = Mapping[str, str | Sequence[str]]
"""Named inputs of a stage: a file or several."""


@dataclass(frozen=True)
class Results:
    """Paths of one study's results at one scale.

    Attributes:
        partial: list only files that exist, so that one failed run withholds nothing.
        lost: files that are out of date, because the job that makes them failed or could not begin.
    """

    plan: Plan
    study: "Study"
    scale: str
    partial: bool = False
    lost: frozenset[str] = frozenset()

    @property
    def folder(self) -> str:
        """The folder of all results of the scale."""
        return f"results/{self.scale}"

    @property
    def runs(self) -> dict[str, dict[str, Any]]:
        """The study's runs: id -> resolved parameters."""
        return self.plan.study_runs(self.scale, self.study.name)

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks whose data the config names."""
        data = self.plan.data(self.scale)
        return tuple(name for name in BENCHMARKS if data.get(name))

    def file(self, name: str) -> str:
        """A result of the scale, such as ``filters.parquet``."""
        return f"{self.folder}/{name}"

    def of_runs(self, *names: str) -> list[str]:
        """These results of every run that has them, such as ``pretrain.parquet``."""
        return self.available(
            f"{self.folder}/runs/{run}/{name}"
            for run, params in self.runs.items()
            for name in names
            if name in self.study.results(params, self.plan)
        )

    def available(self, paths: Iterable[str]) -> list[str]:
        """All paths, or those of a partial plan that are at hand."""
        return [path for path in paths if not self.partial or self.at_hand(path)]

    def at_hand(self, path: str) -> bool:
        """Whether a result exists and is up to date."""
        return path not in self.lost and os.path.exists(path)

    def evaluations(self, ending: str = "") -> list[str]:
        """Results of every run on each benchmark at hand: scores, or those with an ending."""
        return self.of_runs(*(f"{benchmark}{ending}.parquet" for benchmark in self.benchmarks))

    def long(self) -> Inputs:
        """The table of all results of the study."""
        return {"long": self.file(f"tables/{self.study.name}_long.parquet")}

    def baselines(self) -> dict[str, dict[str, str]]:
        """Parameter of tables: run without its seed -> the run it names as its baseline."""
        named = {without_seed(run): p["baseline"] for run, p in self.runs.items() if "baseline" in p}
        return {"baselines": named}


def files(**names: str) -> Callable[[Results], Inputs]:
    """Inputs that are single results of a scale, such as ``tables/zeta.parquet``."""
    return lambda results: {key: results.file(name) for key, name in names.items()}


@dataclass(frozen=True)
class Table:
    """A comparison table.

    Attributes:
        make: ``module:function`` of ``make(inputs, params) -> DataFrame``, or ``RecordBatchReader`` where the
            rows are too many for memory. ``inputs`` are lists of paths by name, ``params`` the parameters
            with ``scale``. A module that begins with a dot lies in the study's package; editing it makes the
            table again.
        inputs: the files it is made from, by name.
        params: its parameters beside the scale.
        optional: inputs that it can be made without if they are lost.
    """

    make: str
    inputs: Callable[[Results], Inputs]
    params: Callable[[Results], Mapping[str, Any]] = lambda results: {}
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Figure:
    """A figure, declared like a :class:`Table`; ``make(inputs, params)`` returns it."""

    make: str
    inputs: Callable[[Results], Inputs]
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Study:
    """All that the workflow knows about a study.

    Attributes:
        name: its name in run ids, and its folder's in ``workflow/studies``.
        build: ``module:function`` of ``build(params, inputs) -> Task``, which makes what is trained.
        data: training input -> data set below ``results/<scale>/``: a file, or a folder with a manifest.
        results: names of the result files that a run with these parameters has.
        run: settings class of a run's parameters.
        settings: sections beside the study's sweeps, and their settings classes.
        after_training: sections of a run that only judge it once it is trained.
        tables: comparison tables by name; each name begins with the study's.
        figures: figures by name.
        cost: module with ``kind(params, data)``, what decides a step of a run, and
            ``step(kind, training, lengths, gpu)``, the :class:`~specseq.studies.cost.step.StepUsage` of such
            a step, where ``lengths`` are those of the shortest and the longest series of the corpus; and with
            ``evaluations(params, plan, scale)``, descriptions in plain values of the stages that evaluate a
            run, each with its ``rule``, or None where they are not known, and ``evaluation(description)``,
            the :class:`~specseq.studies.cost.step.StageUsage` of such a stage; empty: costs are not
            estimated.
        checks: module whose public functions its claims may name; empty for none. One that begins with a dot
            lies in the study's package.
        answer: ``module:function`` that makes the page's opening sentence from the study's tables; empty for
            none.
    """

    name: str
    build: str
    data: Mapping[str, str]
    results: Callable[[Mapping[str, Any], Plan], Collection[str]]
    run: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    after_training: frozenset[str] = frozenset()
    tables: Mapping[str, Table] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    cost: str = ""
    checks: str = ""
    answer: str = ""

    def training_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a run that decide its training."""
        return {key: value for key, value in params.items() if key not in self.after_training}

    def load(self, reference: str) -> Any:
        """The function that ``module:function`` names."""
        module, _, name = self.reference(reference).partition(":")
        return getattr(import_module(module), name)

    def module(self, reference: str) -> str:
        """The full name of the module in ``module:function``."""
        return self.reference(reference).partition(":")[0]

    def reference(self, reference: str) -> str:
        """``module:function`` with the module's full name."""
        return f"specseq.studies.{self.name}{reference}" if reference.startswith(".") else reference
