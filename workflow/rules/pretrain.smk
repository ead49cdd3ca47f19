rule pretrain:
    input:
        unpack(said(training_inputs)),
    output:
        weights="results/{scale}/runs/{run}/weights.safetensors",
        metrics="results/{scale}/runs/{run}/pretrain.parquet",
    log:
        "logs/{scale}/pretrain/{run}.log",
    retries: 0  # a NaN is a NaN; preemption and time limits are the job's own business
    conda:
        "../../envs/specseq.yaml"
    resources:
        launcher=launcher,  # where training runs decides no result: as a parameter it would rerun what is done
    params:
        code=said(lambda w: training_code(builder(w))),
        spec=said(lambda w: as_json(training_params(w))),
        inputs=stage_inputs,
    message:
        "pretrain: {wildcards.run}"
    shell:
        "python -m specseq.stages.pretrain --run {wildcards.run} --params {params.spec:q} --input {params.inputs}"
        " --out-dir results/{wildcards.scale}/runs/{wildcards.run}"
        " --checkpoint-dir results/{wildcards.scale}/checkpoints/{wildcards.run}"
        " --folder results/{wildcards.scale}/jobs/{wildcards.run}"
        " {resources.launcher}"
        " > {log} 2>&1"
