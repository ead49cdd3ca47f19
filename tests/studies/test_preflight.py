"""``specseq preflight``: each fault is one line with its remedy, before anything is submitted."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from specseq.commands.preflight import main
from specseq.errors import InputError
from specseq.series.hub import RECORD, UNFINISHED, HubRepository
from specseq.studies.config import load_plan
from specseq.studies.preflight import cards, jobs
from specseq.studies.preflight.data import folder_there

ROOT = Path(__file__).parents[2]


def lines(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, str]]:
    status = main(["--root", str(ROOT), *options])
    printed = capsys.readouterr().out.splitlines()
    return status, {line[6:].split(":")[0]: line for line in printed}


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for sbatch that knows two partitions."""
    program = tmp_path / "sbatch"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *--partition=gpu\\ *|*--partition=cpu\\ *) exit 0;; esac\n'
        "echo 'sbatch: error: invalid partition specified' >&2\n"
        "echo 'allocation failure: Invalid partition name specified' >&2; exit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def test_the_smallest_scale_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = lines(capsys, "--scale", "smoke", "--launcher", "local")
    assert status == 0, printed
    assert printed["data.lotsa"] == "ok    data.lotsa: embedded"


def test_embedded_series_are_refused_at_the_paper_scale(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = ["--config", "data={lotsa: embedded}", "--launcher", "local"]
    status, printed = lines(capsys, "--scale", "paper", *options)
    assert status == 1
    assert "is embedded" in printed["data.lotsa"]
    assert printed["hub"].startswith("FAIL  hub: HF_HUB_OFFLINE is set")
    status, printed = lines(capsys, "--scale", "desk", *options)
    assert "is embedded" in printed["data.lotsa"], "as the workflow refuses it"


def test_a_partition_that_is_not_there(capsys: pytest.CaptureFixture[str], sbatch: Path) -> None:
    options = ["--scale", "smoke", "--launcher", "slurm"]
    status, printed = lines(capsys, *options, "--config", "slurm={partition: gpus}")
    assert status == 1
    assert "Invalid partition name specified" in printed["slurm (equilibrium)"]
    assert len([line for line in printed.values() if "FAIL" in line]) == 1, "one line for all that ask for it"
    status, printed = lines(capsys, *options, "--config", "slurm={partition: gpu}")
    assert status == 0, printed


def test_an_option_that_sbatch_does_not_have(capsys: pytest.CaptureFixture[str], sbatch: Path) -> None:
    sbatch.write_text(
        '#!/bin/sh\necho "sbatch: unrecognized option --nonsense=1" >&2\n'
        "echo \"Try 'sbatch --help' for more information\" >&2; exit 1\n"
    )
    words = "slurm={partition: gpu, additional_parameters: {nonsense: 1}}"
    status, printed = lines(capsys, "--scale", "smoke", "--launcher", "slurm", "--config", words)
    assert status == 1
    assert "slurm (equilibrium): unrecognized option --nonsense=1 (" in printed["slurm (equilibrium)"]
    assert "slurm (zeta)" not in printed, "one line for all that ask for it"


def test_the_partition_of_the_stages_is_that_of_the_profile(
    capsys: pytest.CaptureFixture[str], sbatch: Path
) -> None:
    text = sbatch.read_text()
    sbatch.write_text(text.replace("*|*--partition=cpu\\ *", "*"))
    status, printed = lines(capsys, "--scale", "smoke", "--launcher", "slurm")
    assert status == 1
    refused = [line for line in printed.values() if line.startswith("FAIL")]
    assert len(refused) == 1, "one line for the partition, not one for each rule"
    assert "--partition=cpu" in refused[0]
    assert "set default-resources in the profile" in refused[0]


def test_jobs_ask_for_all_that_the_config_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "slurm={constraint: a100, exclusive: true, additional_parameters: {gres: gpu:a100:1}}"
    settings = jobs.training_settings(load_plan(ROOT, words=[words]), "paper")["zeta"]
    options = jobs._options(settings)
    assert {"--constraint=a100", "--exclusive", "--gres=gpu:a100:1", "--gpus-per-node=1"} <= set(options)
    assert "--time=60" in options
    assert not [option for option in options if "signal" in option]


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("gpu:a100:4(S:0-1)", {"card": "ok    card: a100 has 80 GB, and a step of stu/layout takes 48"}),
        ("gpu:rtx4090:2", {"card": "FAIL  card: rtx4090 has 24 GB, and a step of stu/layout takes 48"}),
        ("gpu:v100:2", {"gpu": "FAIL  gpu: v100 has no bfloat16 - choose others by slurm.gpus_per_node"}),
        ("gpu:2", {}),
        ("(null)", {}),
    ],
)
def test_cards_of_the_partition(
    listed: str, found: dict[str, str], capsys: pytest.CaptureFixture[str], sbatch: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    sinfo = sbatch.with_name("sinfo")
    sinfo.write_text(f"#!/bin/sh\necho '{listed}'\n")
    sinfo.chmod(0o755)
    monkeypatch.setattr(cards, "_cuda_build", lambda: True)
    printed = lines(capsys, "--scale", "paper", "--launcher", "slurm")[1]
    assert {name: printed[name][: len(line)] for name, line in found.items()} == found
    assert found or not {"gpu", "card"} & printed.keys()


def test_torch_without_cuda_is_known_where_jobs_are_submitted(
    capsys: pytest.CaptureFixture[str], sbatch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(cards, "_cuda_build", lambda: False)
    line = "FAIL  gpu: torch was built without CUDA - install the build for your driver"
    assert lines(capsys, "--scale", "paper", "--launcher", "slurm")[1]["gpu"] == line
    assert "gpu" not in lines(capsys, "--scale", "laptop", "--launcher", "slurm")[1]


def test_what_a_rehearsal_found_is_said(tmp_path: Path) -> None:
    assert [found.fault for found in cards.rehearsed("paper", tmp_path)] == [""]
    table = tmp_path / "results/rehearsal/rehearsal.csv"
    table.parent.mkdir(parents=True)
    table.write_text("run,verdict\na/b/c,fits\na/b/d,fills the card: raise training.micro_batches\n")
    (found,) = cards.rehearsed("paper", tmp_path)
    assert found.fault.startswith("1 of 2 runs, such as a/b/d: fills the card")
    assert not list(cards.rehearsed("laptop", tmp_path))


@pytest.mark.parametrize(
    ("described", "cuda", "line"),
    [
        ([], True, "FAIL  gpu: none is visible, and the scale desk trains on GPUs - use a machine that has"),
        (["H200, 9.0"], False, "FAIL  gpu: torch was built without CUDA - install the build for your driver"),
        (["H200, 9.0", "T4, 7.5"], True, "FAIL  gpu: T4 has no bfloat16 - leave it out by CUDA_VISIBLE_DEV"),
        (["H200, 9.0", "H200, 9.0"], True, "ok    gpu: 2, H200"),
    ],
)
def test_gpus_of_this_machine(
    described: list[str],
    cuda: bool,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program, asked = tmp_path / "nvidia-smi", tmp_path / "asked"
    cards_said = "\n".join(f"{card}, 143771 MiB" for card in described)
    program.write_text(f"#!/bin/sh\necho $1 >> {asked}\necho '{cards_said}'\n")
    program.chmod(0o755)
    if not described:
        program.unlink()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(cards, "_cuda_build", lambda: cuda)
    assert lines(capsys, "--scale", "desk", "--launcher", "local")[1]["gpu"].startswith(line)
    assert not described or len(asked.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("visible", "line"),
    [
        ("-1", "FAIL  gpu: none is visible"),
        ("3", "ok    gpu: 1, H200"),
        ("4", "ok    gpu: nvidia-smi does not describe them"),
    ],
)
def test_gpus_that_are_made_visible(
    visible: str,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\ncase $3 in --id=3) echo 'H200, 9.0, 143771 MiB';; *) exit 6;; esac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(cards, "_cuda_build", lambda: True)
    assert lines(capsys, "--scale", "desk", "--launcher", "local")[1]["gpu"].startswith(line)


def test_a_scale_that_trains_on_cpus_needs_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert "gpu" not in lines(capsys, "--scale", "laptop", "--launcher", "local")[1]


def test_whether_torch_has_cuda_is_read_without_importing_it() -> None:
    assert cards._cuda_build() == (torch.version.cuda is not None)


def test_no_slurm_at_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    status, printed = lines(capsys, "--scale", "smoke", "--launcher", "slurm")
    assert status == 1
    assert printed["sbatch"].startswith("FAIL  sbatch: there is none on this machine - log in")


def test_a_full_disk(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    status, printed = lines(capsys, "--scale", "smoke", "--launcher", "local")
    assert status == 1
    assert printed["disk"].startswith("FAIL  disk: 0 GB free")


def test_what_is_there_already_needs_no_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/state.json").write_text("{}")
    options = ["--scale", "paper", "--launcher", "local"]
    needed = {}
    for name, config in {"hub": "data={}", "folder": f"data={{lotsa: {tmp_path}}}"}.items():
        line = lines(capsys, *options, "--config", config)[1]["disk"]
        needed[name] = int(line.split("some ")[1].split(" GB")[0])
    assert needed["hub"] == needed["folder"] + 100


@pytest.mark.parametrize(
    ("config", "check", "fault"),
    [
        ("{lotsa: DIR}", "data.lotsa", "holds no data set"),
        ("{chronos2: DIR}", "data.chronos2", "holds no weights (config.json, *.safetensors)"),
        ("{text: {source: {kind: path, path: DIR}}}", "data.text", "holds no text (*.txt)"),
        (
            "{text: {tokeniser: null, source: {kind: tokens, path: DIR}}}",
            "data.text",
            "holds no train.bin or train.npy, no tokenizer.json or meta.json",
        ),
    ],
)
def test_a_folder_of_something_else(
    config: str, check: str, fault: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "notes.md").write_text("nothing of use")
    options = ["--config", f"data={config.replace('DIR', str(tmp_path))}", "--launcher", "local"]
    status, printed = lines(capsys, "--scale", "paper", *options)
    assert status == 1
    assert printed[check].startswith(f"FAIL  {check}: {tmp_path}")
    assert fault in printed[check]


def test_a_gated_repository_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def access(repository: HubRepository, seconds: float = 20) -> None:
        if repository.name == "amazon/chronos-2":
            raise InputError(repository.name, "the hub gives it only to those who", "accept them")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(HubRepository, "check_access", access)
    printed = lines(capsys, "--scale", "paper", "--launcher", "local")[1]
    assert printed["hub (lotsa)"] == "ok    hub (lotsa): Salesforce/lotsa_data will be downloaded"
    assert printed["hub (chronos2)"].startswith(
        "FAIL  hub (chronos2): amazon/chronos-2: the hub gives it only"
    )


def test_missing_data_sets_are_counted(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    finding = folder_there("data.gift_eval", "gift_eval", tmp_path)
    assert "data sets are not in" in finding.fault
    assert finding.remedy


def test_an_unfinished_download(tmp_path: Path) -> None:
    (tmp_path / UNFINISHED).touch()
    assert "unfinished" in folder_there("data.lotsa", "lotsa", tmp_path).fault


def test_a_download_that_has_lost_files_or_bytes(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/state.json").write_text("{}")
    (tmp_path / RECORD).write_text(json.dumps({"files": {"one/state.json": ""}, "bytes": 2}))
    assert not folder_there("data.lotsa", "lotsa", tmp_path).fault
    (tmp_path / "one/state.json").write_text("{")
    assert folder_there("data.lotsa", "lotsa", tmp_path).fault == f"{tmp_path} has 1 bytes of 2"
    (tmp_path / "one/state.json").unlink()
    found = folder_there("data.lotsa", "lotsa", tmp_path)
    assert "1 of 1 files are not there" in found.fault
    assert "run the download again" in found.remedy
