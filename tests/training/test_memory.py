"""Freed memory is not mapped anew, counted in page faults of a process of its own."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from specseq.training.memory import keep_freed_memory
keep_freed_memory()

def step():
    return [torch.ones(100_000) for _ in range(60)]

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_what_a_step_frees_is_kept_for_the_next() -> None:
    """Without it there are a hundred thousand faults, in some processes and not in others."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200
