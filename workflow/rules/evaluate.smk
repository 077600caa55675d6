rule evaluate:
    """Test a trained model on every test row. In: the run and its shards; out: metrics and predictions."""
    input:
        weights=rules.train.output.weights,
        run=rules.train.output.run,
        manifest=steps.manifest,
    output:
        metrics=RUN / layout.METRICS,
        predictions=RUN / layout.PREDICTIONS,
    log:
        layout.log(study.name, "evaluate", "{dataset}", "{model}", "{seed}"),
    benchmark:
        layout.log(study.name, "evaluate", "{dataset}", "{model}", "{seed}", suffix="tsv")
    # Each model is tested right after its training, whose priority is lower.
    priority: 10_000
    conda:
        "../envs/train.yml"
    threads: steps.model_threads
    resources:
        gpu=1,
        mem_mb=steps.evaluate_mb,
        runtime=steps.evaluate_minutes,
    params:
        code=steps.evaluate_code,
        shards=subpath(input.manifest, parent=True),
        folder=subpath(input.run, parent=True),
    shell:
        "crepe evaluate {params.folder:q} --shards {params.shards:q} > {log:q} 2>&1"
