rule encode:
    """Turn clean text into shards of integers. In: the clean tables, a feature's thesaurus; out: the manifest.

    The number of shards depends on the rows, so the manifest stands for them: it has their digests, which are compared
    whenever shards are opened, and it is the last file of its folder to appear.
    """
    input:
        train=rules.clean.output.train,
        test=rules.clean.output.test,
        record=rules.clean.output.record,
        thesaurus=steps.thesaurus,
    output:
        manifest=layout.shards("{feature}", "{dataset}") / layout.MANIFEST,
        done=touch(layout.done("encode", "{feature}", "{dataset}")),
    log:
        layout.log("encode", "{feature}", "{dataset}"),
    benchmark:
        layout.log("encode", "{feature}", "{dataset}", suffix="tsv")
    priority: steps.data_priority
    conda:
        "../envs/data.yml"
    threads: steps.encode_threads
    resources:
        mem_mb=steps.encode_mb,
        runtime=steps.encode_minutes,
    params:
        code=steps.encode_code,
        settings=steps.encode_settings,
        config=steps.encode_config,
        clean=subpath(input.record, parent=True),
        shards=subpath(output.manifest, parent=True),
    shell:
        "crepe encode {wildcards.dataset:q} {wildcards.feature:q} --clean {params.clean:q} --output {params.shards:q}"
        " --config {params.config:q} > {log:q} 2>&1"
