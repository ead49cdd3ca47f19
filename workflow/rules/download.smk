# Real data from the hub, on demand: `snakemake -c1 downloads/lotsa/download.json`, then
# `--config "data={lotsa: downloads/lotsa}"`. No result depends on it unless the config says so.
rule download:
    output:
        "downloads/{source}/download.json",
    log:
        "logs/downloads/{source}.log",
    wildcard_constraints:
        source="lotsa|gift_eval|fev",
    conda:
        "../../envs/specseq.yaml"
    params:
        spec=lambda w: as_json(config["downloads"][w.source]),
        out=lambda w, output: os.path.dirname(output[0]),
    message:
        "download: {wildcards.source} into {params.out}"
    shell:
        "python -m specseq.stages.download_{wildcards.source} --params {params.spec:q} --out {params.out}"
        " > {log} 2>&1"
