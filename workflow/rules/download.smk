# Real data from the hub, on demand: `snakemake -c1 downloads/lotsa/download.json`, then
# `--config "data={lotsa: downloads/lotsa}"`. No result depends on it unless the config says so.
# It has no digest of its code: an edit must not fetch everything again.
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
        spec=said(lambda w: as_json(wanted(config.get("downloads", {}), w.source, "downloads"))),
        out=lambda w, output: os.path.dirname(output[0]),
    message:
        "download: {wildcards.source} into {params.out}"
    shell:
        "python -m specseq.stages.download_{wildcards.source} --params {params.spec:q} --out {params.out}"
        " > {log} 2>&1"
