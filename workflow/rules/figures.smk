rule figure:
    input:
        unpack(said(lambda w: made_from(FIGURES[w.figure], w.scale))),
    output:
        svg=report(
            "results/{scale}/figures/{figure}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "scale": "{scale}"},
        ),
        png="results/{scale}/figures/{figure}.png",
        pdf="results/{scale}/figures/{figure}.pdf",
    log:
        "logs/{scale}/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(FIGURES),
    conda:
        "../../envs/specseq.yaml"
    resources:
        login=1,  # limited where it runs on a login node
    params:
        code=lambda w: module_code("figure", FIGURES[w.figure]),
        inputs=named_inputs,
        spec=lambda w: as_json({"scale": w.scale}),
        out=lambda w, output: output.svg.removesuffix(".svg"),
    message:
        "figure: {wildcards.figure}"
    shell:
        "python -m specseq.stages.figure --name {wildcards.figure} {params.inputs} --params {params.spec:q}"
        " --out {params.out} > {log} 2>&1"
