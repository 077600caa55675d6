rule vectors:
    """Find a vector for each word of a vocabulary. In: shards of words, and a published file; out: the vectors."""
    input:
        manifest="data/shards/{feature}/{dataset}/manifest.json",
        file=published,
        code=sources("data.vectors"),
    output:
        "data/vectors/{vectors}/{feature}/{dataset}.safetensors",
    log:
        "logs/vectors/{vectors}/{feature}/{dataset}.log",
    benchmark:
        "logs/vectors/{vectors}/{feature}/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=8_000,
        runtime=word_minutes,
    params:
        config=vectors_config,
        shards=subpath(input.manifest, parent=True),
    shell:
        "crepe vectors {wildcards.dataset:q} {wildcards.feature:q} {wildcards.vectors:q} --shards {params.shards:q}"
        " --output {output:q} --config {params.config:q} > {log:q} 2>&1"
