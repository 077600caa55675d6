rule encode:
    """Turn clean text into shards of integers. In: the clean tables, a feature's thesaurus; out: the manifest.

    How many shards there are depends on the rows, so the manifest stands for them: it has their digests, they are
    compared whenever they are opened, and it appears when they all are there, the last of its folder.
    """
    input:
        train="data/clean/{dataset}/train.parquet",
        test="data/clean/{dataset}/test.parquet",
        about="data/clean/{dataset}/clean.json",
        thesaurus=synonyms,
        code=encode_code,
    output:
        "data/shards/{feature}/{dataset}/manifest.json",
    log:
        "logs/encode/{feature}/{dataset}.log",
    benchmark:
        "logs/encode/{feature}/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 4
    resources:
        mem_mb=8_000,
        runtime=word_minutes,
    params:
        config=encode_config,
        clean=subpath(input.about, parent=True),
        shards=subpath(output[0], parent=True),
    shell:
        "crepe encode {wildcards.dataset:q} {wildcards.feature:q} --clean {params.clean:q} --output {params.shards:q}"
        " --config {params.config:q} > {log:q} 2>&1"
