rule train:
    """Train a model on a dataset. In: its shards; out: weights, learning curve, provenance."""
    input:
        manifest=steps.manifest,
        vectors=steps.vectors,
    output:
        weights=RUN / layout.MODEL,
        history=RUN / layout.HISTORY,
        run=RUN / layout.RECORD,
    log:
        layout.log(study.name, "train", "{dataset}", "{model}", "{seed}"),
    benchmark:
        layout.log(study.name, "train", "{dataset}", "{model}", "{seed}", suffix="tsv")
    priority: steps.train_priority
    conda:
        "../envs/train.yml"
    threads: steps.model_threads
    resources:
        gpu=1,
        mem_mb=steps.train_mb,
        runtime=steps.train_minutes,
    params:
        code=steps.train_code,
        settings=steps.train_settings,
        config=steps.train_config,
        shards=subpath(input.manifest, parent=True),
        folder=subpath(output.run, parent=True),
        vectors=steps.vectors_option,
    shell:
        "crepe train {wildcards.dataset:q} {wildcards.model:q} --seed {wildcards.seed} --shards {params.shards:q}"
        " {params.vectors} --output {params.folder:q} --config {params.config:q} > {log:q} 2>&1"
