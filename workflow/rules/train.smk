rule train:
    """Train a model on a dataset. In: its shards; out: weights, learning curve, provenance."""
    input:
        manifest=manifest,
        vectors=vectors,
        code=model_code("training.train"),
    output:
        weights=f"{RUN}/model.safetensors",
        history=f"{RUN}/history.csv",
        run=f"{RUN}/run.json",
    log:
        f"logs/{study.name}/train/{{dataset}}/{{model}}/{{seed}}.log",
    benchmark:
        f"logs/{study.name}/train/{{dataset}}/{{model}}/{{seed}}.tsv"
    conda:
        "../../environment.yml"
    threads: 4
    resources:
        gpu=1,
        mem_mb=model_mb,
        runtime=train_minutes,
    params:
        config=train_config,
        shards=subpath(input.manifest, parent=True),
        folder=subpath(output.run, parent=True),
        vectors=vectors_option,
    shell:
        "crepe train {wildcards.dataset:q} {wildcards.model:q} --seed {wildcards.seed} --shards {params.shards:q}"
        " {params.vectors} --output {params.folder:q} --config {params.config:q} > {log:q} 2>&1"
