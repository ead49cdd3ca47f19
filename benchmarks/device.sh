#!/bin/sh
# What a CUDA GPU shows of this project, in ten minutes: the tests that need one, throughput and a short rehearsal.
# Run from the root of a checkout after `make setup`; results go to the folder that is named, by default device/.
set -u
out=${1:-device}
.venv/bin/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available() and "torch sees no CUDA device: install its CUDA build")' || exit 1
make --silent .venv/.test || exit 1
mkdir -p "$out"
nvidia-smi > "$out/nvidia-smi.txt"
timeout 180 .venv/bin/python -m pytest -q -m cuda tests/training/test_cuda.py > "$out/tests.txt" 2>&1
tail -n 3 "$out/tests.txt"
timeout 180 .venv/bin/python benchmarks/bench_device.py --json "$out/throughput.json" > "$out/throughput.txt" 2>&1
cat "$out/throughput.txt"
timeout 240 .venv/bin/snakemake --cores all --configfile workflow/rehearsal/gpu.yaml --keep-going --quiet all \
    -- results/rehearsal/rehearsal.parquet > "$out/rehearsal.txt" 2>&1
cp results/rehearsal/rehearsal.csv "$out/" && .venv/bin/specseq cost --scale paper \
    --rehearsal results/rehearsal/rehearsal.parquet --csv "$out/cost.csv" > "$out/cost.txt"
tail -n 3 "$out/cost.txt"
