# Inputs:  the data that the run's study declares, and the weights that a run begins from
# Outputs: results/{scale}/runs/{run}/weights.safetensors, pretrain.parquet


rule pretrain:
    input:
        unpack(one_line(lambda w: PLANNING.training_inputs(w.scale, w.run))),
    output:
        weights="results/{scale}/runs/{run}/weights.safetensors",
        metrics="results/{scale}/runs/{run}/pretrain.parquet",
    log:
        "logs/{scale}/pretrain/{run}.log",
    retries: 0  # a NaN is a NaN; preemption and time limits are the job's own business
    conda:
        "../../envs/specseq.yaml"
    resources:
        **own_gpu("pretrain"),
    params:
        **request(
            "pretrain",
            lambda w: PLANNING.training(w.scale, w.run),
            code=lambda w: PLANNING.training_code(w.run),
            group="inputs",
            # Where training runs does not affect the result.
            besides=lambda w, threads: {
                "checkpoints": f"results/{w.scale}/checkpoints/{w.run}",
                "jobs": f"results/{w.scale}/jobs/{w.run}",
                "restart": forced(
                    "pretrain",
                    f"results/{w.scale}/runs/{w.run}/weights.safetensors",
                    f"results/{w.scale}/runs/{w.run}/pretrain.parquet",
                ),
                "cluster": training_place(),
                "slurm": (
                    PLANNING.slurm(w.scale, w.run, CONFIG.content.get("slurm") or {})
                    if training_place() == "slurm"
                    else None
                ),
            },
        ),
    message:
        "pretrain: {wildcards.run}"
    shell:
        "python -m specseq.stages pretrain --request {params.request} > {log} 2>&1"
