"""The slurm section: what passes, what is refused and how it is said."""

from typing import Any

import pytest

from specseq.errors import InputError
from specseq.launch.settings import SlurmSettings
from specseq.settings import read


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"partitoin": "gpu"}, "slurm.partitoin: unknown key; did you mean partition?"),
        (
            {"partition": "gpu\n#SBATCH --uid=0"},
            "slurm.partition: 'gpu\\n#SBATCH --uid=0' is not a plain word",
        ),
        ({"partition": "$(reboot)"}, "slurm.partition: '$(reboot)' is not a plain word"),
        (
            {"additional_parameters": {"x": "`reboot`"}},
            "slurm.additional_parameters.x: '`reboot`' is not a plain word",
        ),
        ({"additional_parameters": {"x y\n": 1}}, "not a plain word"),
        ({"setup": "module load"}, "slurm.setup: 'module load' is not"),
        ({"cpus_per_task": 0}, "slurm.cpus_per_task: 0 is not at least 1"),
        ({"cpus_per_task": True}, "slurm.cpus_per_task: true is not a whole number"),
        ({"cpus_per_gpu": 4}, "slurm.cpus_per_gpu: has no effect without gpus_per_task; use cpus_per_task"),
        ({"mem": "plenty"}, "slurm.mem: 'plenty' is not a size such as 16GB"),
        (
            {"time": 43200},
            "slurm.time: 43200 is not a number of minutes from 1 to 2880; write hours and days in quotes",
        ),
        ({"time": 0}, "slurm.time: 0 is not a number of minutes"),
        ({"time": "noon"}, "slurm.time: 'noon' is not a time limit"),
        ({"time": "0:00"}, "slurm.time: '0:00' is not a time limit"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(SlurmSettings, given, "slurm")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("time", "minutes"),
    [
        (720, 720),
        ("720", 720),
        ("12:00:00", 720),
        ("0:30:01", 31),
        ("90:30", 91),
        ("3-0", 4320),
        ("1-12:30", 2190),
        ("1-12:30:30", 2191),
    ],
)
def test_time_limits_are_read_as_slurm_reads_them(time: int | str, minutes: int) -> None:
    assert read(SlurmSettings, {"time": time}, "slurm").minutes == minutes


def test_what_is_set_is_handed_over() -> None:
    given = {
        "partition": "gpu",
        "time": "1:00:00",
        "mem": "16GB",
        "additional_parameters": {"gres": "gpu:a100:1"},
    }
    settings = read(
        SlurmSettings, given | {"setup": ["module load cuda"], "gpus_per_node": "a100:2"}, "slurm"
    )
    expected = {
        **given,
        "time": 60,
        "setup": ["module load cuda"],
        "gpus_per_node": "a100:2",
        "signal_delay_s": 120,
    }
    assert settings.parameters() == expected
