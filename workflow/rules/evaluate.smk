rule evaluate:
    """Test a trained model on every test row. In: the run and its shards; out: figures and predictions."""
    input:
        weights=f"{RUN}/model.safetensors",
        run=f"{RUN}/run.json",
        manifest=manifest,
        code=model_code("evaluation.evaluate"),
    output:
        metrics=f"{RUN}/metrics.json",
        predictions=f"{RUN}/predictions.parquet",
    log:
        f"logs/{study.name}/evaluate/{{dataset}}/{{model}}/{{seed}}.log",
    benchmark:
        f"logs/{study.name}/evaluate/{{dataset}}/{{model}}/{{seed}}.tsv"
    conda:
        "../../environment.yml"
    threads: 4
    resources:
        gpu=1,
        mem_mb=model_mb,
        runtime=evaluate_minutes,
    params:
        shards=subpath(input.manifest, parent=True),
        folder=subpath(input.run, parent=True),
    shell:
        "crepe evaluate {params.folder:q} --shards {params.shards:q} > {log:q} 2>&1"
