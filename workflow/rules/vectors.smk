rule vectors:
    """Find a vector for each word of a vocabulary. In: shards of words, and a published file; out: the vectors."""
    input:
        manifest=rules.encode.output.manifest,
        file=steps.published_vectors,
    output:
        vectors=layout.vectors("{vectors}", "{feature}", "{dataset}"),
        done=touch(layout.done("vectors", "{vectors}", "{feature}", "{dataset}")),
    log:
        layout.log("vectors", "{vectors}", "{feature}", "{dataset}"),
    benchmark:
        layout.log("vectors", "{vectors}", "{feature}", "{dataset}", suffix="tsv")
    priority: steps.data_priority
    conda:
        "../envs/data.yml"
    threads: steps.vectors_threads
    resources:
        mem_mb=steps.vectors_mb,
        runtime=steps.vectors_minutes,
    params:
        code=code("vectors"),
        settings=steps.vectors_settings,
        config=steps.vectors_config,
        shards=subpath(input.manifest, parent=True),
    shell:
        "crepe vectors {wildcards.dataset:q} {wildcards.feature:q} {wildcards.vectors:q} --shards {params.shards:q}"
        " --output {output.vectors:q} --config {params.config:q} > {log:q} 2>&1"
