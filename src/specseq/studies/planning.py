"""What the workflow's rules ask of config and studies: the inputs and the parameters of every stage.

Nothing here imports torch or pandas, or knows of Snakemake.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from specseq.errors import InputError
from specseq.settings import read
from specseq.sources import module_file
from specseq.studies import products, studies
from specseq.studies.config import ALL, HUB, StageResources
from specseq.studies.data import DataSources, download_record
from specseq.studies.forecasting import matched_filters
from specseq.studies.interface import Results, Study, Table
from specseq.studies.lost import load_lost
from specseq.studies.outside import checkpoint_file, tidy_path
from specseq.studies.reports import check_reports
from specseq.sweeps import Plan

Params = dict[str, Any]
NAIVE = ("seasonal_naive", "naive")
FORECASTING = ("evaluate", "residuals")
CHRONOS2 = "chronos2"
Kind = Literal["tables", "figures"]

STUDIES = "workflow/studies"


@cache
def _file_of(module: str) -> str:
    return os.fspath(module_file(module))


def _as_list(files: str | Sequence[str]) -> list[str]:
    return [files] if isinstance(files, str) else list(files)


@dataclass(frozen=True)
class Planning:
    """The plan as the rules ask for it.

    If it is ``partial``, tables, claims and page are made from the results that exist.
    """

    plan: Plan
    partial: bool = False

    @property
    def sources(self) -> DataSources:
        """Sources of the data."""
        return DataSources(self.plan)

    def results(self, study: Study, scale: str) -> Results:
        """Paths of a study's results."""
        lost = (file for job in load_lost(scale) for file in job.files) if self.partial else ()
        return Results(self.plan, study, scale, self.partial, frozenset(lost))

    def section(self, content: Mapping[str, Any], key: str, where: str) -> Any:
        """A part of the config that this result needs although the schema does not require it.

        Raises:
            InputError: it is not there.
        """
        if key not in content:
            raise InputError(f"config.yaml: {where}", f"has no section '{key}'", "add it")
        return content[key]

    # Data

    def embedded(self, scale: str) -> Params:
        """Parameters of the embedded data."""
        data = self.plan.data(scale)
        return {"seed": data["seed"], "embedded": data["embedded"]}

    def corpus(self, scale: str) -> Params:
        """Parameters of the training corpus."""
        data = self.plan.data(scale)
        return {**self.embedded(scale), "min_length": data["min_length"], "exclude": data["exclude"]}

    def evaluation_files(self, scale: str, run: str, benchmark: str) -> list[str]:
        """Files from outside that an evaluation reads: tasks of FEV-Bench and weights of forecasters."""
        names = [forecaster.get("name", "") for forecaster in self._forecasters(scale, run)]
        tasks = self.sources.own(scale, "fev") if benchmark == "fev" else []
        chronos2 = self.sources.own(scale, "chronos2") if CHRONOS2 in names else []
        return tasks + chronos2 + [tidy_path(name) for name in names if os.path.exists(name)]

    def _forecasters(self, scale: str, run: str) -> list[Params]:
        """The forecasters that a run names."""
        params = self.plan.run(scale, run)
        return [params.get("forecaster", {}), params.get("evaluation", {}).get("other") or {}]

    def _placed(self, scale: str, forecaster: Params) -> Params:
        """A forecaster, renamed to the folder of its weights if the config names one."""
        folder = self.sources.folder(scale, CHRONOS2) if forecaster.get("name") == CHRONOS2 else None
        return {**forecaster, "name": folder} if folder else forecaster

    def leakage(self, scale: str, benchmark: str) -> Params:
        """Benchmark whose test points are searched for, and the folder of its data."""
        return {"benchmark": benchmark, "data": self.benchmark_folder(scale, benchmark)}

    def download(self, source: str) -> Params:
        """Source, and the part of it that is downloaded."""
        downloads = self.section(self.plan.config.content.get("downloads") or {}, source, "downloads")
        return {"source": source, "select": downloads}

    # Training

    def training_inputs(self, scale: str, run: str) -> dict[str, str]:
        """The files that training needs: data, a folder by its manifest, and weights to begin from."""
        params = self.plan.run(scale, run)
        files = {
            name: f"results/{scale}/{path}" if Path(path).suffix else f"results/{scale}/{path}/manifest.json"
            for name, path in studies()[params["study"]].data.items()
        }
        initial = params.get("initial") or {}
        if named := initial.get("run"):
            files["initial"] = self.weights_file(scale, named)
        elif (named := initial.get("checkpoint")) and (file := checkpoint_file(named)):
            files["initial"] = file
        return files

    def training(self, scale: str, run: str) -> Params:
        """The run to train, and the parameters that decide its training."""
        params = self.plan.run(scale, run)
        return {"run": run, "params": studies()[params["study"]].training_params(params)}

    def training_code(self, run: str) -> list[str]:
        """The source files that train a run."""
        study = studies()[run.split("/")[0]]
        return ["launch/training.py", _file_of(study.module(study.build))]

    def weights_file(self, scale: str, run: str) -> str:
        """The weights of a run, which must exist in the plan."""
        self.plan.run(scale, run)
        return f"results/{scale}/runs/{run}/weights.safetensors"

    # Evaluation

    def _trained(self, scale: str, run: str) -> str | None:
        """The weights of this workflow that a run forecasts with: its own or those of the run it names."""
        params = self.plan.run(scale, run)
        trained = run if "training" in params else params.get("forecaster", {}).get("run")
        return self.weights_file(scale, trained) if trained else None

    def weights(self, scale: str, run: str) -> list[str]:
        """The weights that forecast: a run's own, those of the run it names, or downloaded ones."""
        if trained := self._trained(scale, run):
            return [trained]
        from_hub = self.plan.data(scale)[CHRONOS2] == HUB
        named = any(forecaster.get("name") == CHRONOS2 for forecaster in self._forecasters(scale, run))
        return [download_record(CHRONOS2)] if from_hub and named else []

    def benchmark_files(self, scale: str, benchmark: str) -> str:
        """What must exist before an evaluation: GIFT-Eval's manifest; FEV-Bench's folder as it is.

        Raises:
            InputError: the config names no folder of FEV-Bench.
        """
        if benchmark == "gift_eval":
            return f"results/{scale}/data/gift_eval/manifest.json"
        if needed := self.sources.needed(scale, "fev"):
            return str(needed)
        remedy = "--config 'data={fev: hub}' downloads them"
        raise InputError("config.yaml: data.fev", "no folder of FEV-Bench tasks is given", remedy)

    def benchmark_folder(self, scale: str, benchmark: str) -> str:
        """The folder of a benchmark's data."""
        return self.sources.folder(scale, benchmark) or f"results/{scale}/data/{benchmark}/sets"

    def forecasting_inputs(self, scale: str, run: str, benchmark: str) -> list[str]:
        """The files that forecasts of a benchmark need: its data and the weights."""
        return [self.benchmark_files(scale, benchmark), *self.weights(scale, run)]

    def matched(self, scale: str, run: str) -> dict[str, Any]:
        """The filters of a run that are designed for its forecaster's residuals, by name."""
        return dict(sorted(matched_filters(self.plan.run(scale, run), self.plan).items()))

    def designed(self, scale: str, run: str, benchmark: str) -> str | list[str]:
        """The table of a run's matched filters; an empty list where it has none."""
        has = self.matched(scale, run)
        return f"results/{scale}/runs/{run}/{benchmark}_matched.parquet" if has else []

    def fixed_filters(self) -> dict[str, Any]:
        """The filters that are designed without a forecaster, by name."""
        return {name: spec for name, spec in sorted(self.plan.filters.items()) if spec["family"] != "matched"}

    def evaluation(self, scale: str, run: str, benchmark: str) -> Params:
        """Parameters of an evaluation, and the folder of its data."""
        params = self.plan.run(scale, run)
        chosen = params.get("evaluation", {})
        evaluation = {"run": run, "benchmark": benchmark, "study": params["study"], **chosen}
        evaluation["seed"] = params.get("seed", -1)
        forecaster = {key: value for key, value in params.get("forecaster", {}).items() if key != "run"}
        trained = self._trained(scale, run)
        placed = {**forecaster, "name": trained} if trained else self._placed(scale, forecaster)
        # Each benchmark has its own settings of what is evaluated.
        tasks = evaluation.pop("tasks", ())
        if benchmark == "fev":
            evaluation = {**evaluation, "terms": None, "only": tasks}
        if context_length := evaluation.pop("context_length", None):
            placed["context_length"] = context_length
        evaluation["forecaster"] = placed
        if chosen.get("other"):
            evaluation["other"] = self._placed(scale, chosen["other"])
        if "filters" in chosen:
            evaluation["filters"] = {name: self.plan.filter(name) for name in sorted(chosen["filters"])}
        return {**evaluation, "data": self.benchmark_folder(scale, benchmark)}

    def residuals(self, scale: str, run: str, benchmark: str) -> Params:
        """Parameters of a forecaster's residuals: its evaluation without filters and reversals."""
        kept = ("run", "benchmark", "study", "seed", "terms", "only", "forecaster", "data")
        evaluation = self.evaluation(scale, run, benchmark)
        return {key: value for key, value in evaluation.items() if key in kept}

    def measurement(self, scale: str) -> Params:
        """The sizes of the measurement, the same for all runs that are measured side by side.

        Raises:
            InputError: they differ between runs.
        """
        runs = self.plan.study_runs(scale, "stu")
        sizes = {run: params["measurement"] for run, params in runs.items() if "measurement" in params}
        first, *others = sizes.items()
        for run, other in others:
            if other != first[1]:
                raise InputError(
                    f"config.yaml: run {run}: measurement",
                    f"is not that of {first[0]}, beside which it is measured",
                    "set it in studies.stu.base",
                )
        return {"sizes": first[1]}

    def measured_weights(self, scale: str) -> list[str]:
        """Weights of the STU study's runs."""
        return self.results(studies()["stu"], scale).of_runs("weights.safetensors")

    def audit(self, scale: str, run: str) -> Params:
        """The run to audit, and the settings of the audit."""
        return {"run": run, "audit": self.section(self.plan.run(scale, run), "audit", f"run {run}")}

    def mechanisms(self, scale: str) -> Params:
        """The mechanisms to measure."""
        declared = self.plan.studies(scale).get("equilibrium", {})
        return {"mechanisms": self.section(declared, "mechanisms", "studies.equilibrium")}

    # What stages ask for

    def resources(self, scale: str, rule: str, run: str = "") -> StageResources:
        """Resources of a rule, as set by the study of its run, or else by the study that sets them."""
        declared = self.plan.resources(scale)
        owners = [run.partition("/")[0]] if run else [name for name in declared if name != ALL]
        given: Params = next((declared[name][rule] for name in owners if rule in declared.get(name, {})), {})
        asked = read(StageResources, {**given, **declared.get(ALL, {})}, f"resources: {rule}")
        return replace(asked, gpus=0) if rule in FORECASTING and not self._models(scale, run) else asked

    def _models(self, scale: str, run: str) -> bool:
        """Whether a model forecasts, or a naive forecaster."""
        names = [forecaster.get("name") for forecaster in self._forecasters(scale, run)]
        return self._trained(scale, run) is not None or any(name not in (None, *NAIVE) for name in names)

    def slurm(self, scale: str, run: str, given: Params) -> Params:
        """The settings of a training job: its study's resources, and what the section ``slurm`` gives."""
        asked = self.resources(scale, "pretrain", run)
        wanted = {
            "time": asked.minutes,
            "mem": f"{asked.mem_mb}MB",
            "cpus_per_task": asked.cpus,
            "gpus_per_node": asked.gpus,
        }
        return {**wanted, **given}

    # Tables, figures, claims

    def shown(self, scale: str, kind: Kind) -> list[str]:
        """Tables or figures of the studies that the config declares.

        A partial plan leaves out those that lack an input, or all files of a list of inputs.
        """
        own = self.plan.studies(scale)
        declared = [name for name, (study, _) in products(kind).items() if study.name in own]
        return [name for name in declared if not self.partial or self._can_be_made(scale, kind, name)]

    def _can_be_made(self, scale: str, kind: Kind, name: str) -> bool:
        _, product = products(kind)[name]
        if any(job.failed and (job.rule, job.name) == (kind[:-1], name) for job in load_lost(scale)):
            return False
        whole, there = replace(self, partial=False).inputs(scale, kind, name), self.inputs(scale, kind, name)
        return all(there[key] for key, files in whole.items() if files and key not in product.optional)

    def inputs(self, scale: str, kind: Kind, name: str) -> dict[str, list[str]]:
        """The files that a table or figure is made from, by name; in a partial plan, those that exist."""
        study, product = products(kind)[name]
        results = self.results(study, scale)
        return {
            key: [] if isinstance(files, str) and not self._there(results, files) else _as_list(files)
            for key, files in product.inputs(results).items()
        }

    def _there(self, results: Results, file: str) -> bool:
        """Whether a single input of a partial plan is at hand, or is a table that can be made."""
        path = Path(file)
        if self.partial and path.parent.name == "tables":
            return self._can_be_made(results.scale, "tables", path.stem)
        return not self.partial or results.at_hand(file)

    def without(self, scale: str, name: str) -> list[str]:
        """The runs and files that a table of a partial plan is made without."""
        if not self.partial:
            return []
        whole = replace(self, partial=False).inputs(scale, "tables", name)
        there = self.inputs(scale, "tables", name)
        lacking = [file for key, files in whole.items() for file in files if file not in there[key]]
        return [file.removeprefix(f"results/{scale}/").removeprefix("runs/") for file in lacking]

    def product_code(self, stage: str, kind: Kind, name: str) -> list[str]:
        """The source files that make a table or figure."""
        study, product = products(kind)[name]
        return [f"stages/{stage}.py", _file_of(study.module(product.make))]

    def table(self, scale: str, name: str) -> Params:
        """Name and parameters of a table."""
        study, product = products("tables")[name]
        own = product.params(self.results(study, scale)) if isinstance(product, Table) else {}
        without = self.without(scale, name)
        return {"name": name, "params": {"scale": scale, **own}, **({"without": without} if without else {})}

    def evidence(self, scale: str) -> list[str]:
        """Every table that claims and page read."""
        return [f"results/{scale}/tables/{name}.parquet" for name in self.shown(scale, "tables")]

    def claims(self, scale: str) -> Params:
        """The notes' claims, and all runs declared at each scale: where a claim could be decided.

        Raises:
            InputError: something in a claims.yaml or page.yaml is wrong, which would be met only at the end.
        """
        check_reports(Path(STUDIES))
        declared = {name: sorted(runs) for name, runs in self.plan.declared().items()}
        return {"studies": STUDIES, "folder": f"results/{scale}", "scale": scale, "declared": declared}

    def report_code(self, stage: str, part: Literal["checks", "answer"]) -> list[str]:
        """The source files of a stage and of this part of all studies."""
        declared = [(studies()[name], getattr(studies()[name], part)) for name in self.plan.study_names]
        return [f"stages/{stage}.py", *(_file_of(study.module(name)) for study, name in declared if name)]

    def page(self, scale: str) -> Params:
        """Parameters of the page."""
        given: Params = {"studies": STUDIES, "folder": f"results/{scale}", "scale": scale}
        lost = [asdict(job) for job in load_lost(scale)] if self.partial else []
        return {**given, "lost": lost} if lost else given
