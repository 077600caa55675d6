rule clean:
    """Turn a dataset's CSV files into Parquet. In: the archive; out: a table a split, and what they hold."""
    input:
        archive="data/raw/{dataset}.tgz",
        code=sources("data.clean"),
    output:
        train="data/clean/{dataset}/train.parquet",
        test="data/clean/{dataset}/test.parquet",
        about="data/clean/{dataset}/clean.json",
    log:
        "logs/clean/{dataset}.log",
    benchmark:
        "logs/clean/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 4
    resources:
        mem_mb=8_000,
        runtime=text_minutes,
    params:
        config=clean_config,
        folder=subpath(output.about, parent=True),
    shell:
        "crepe clean {wildcards.dataset:q} --archive {input.archive:q} --output {params.folder:q}"
        " --config {params.config:q} > {log:q} 2>&1"
