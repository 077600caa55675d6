rule clean:
    """Turn a dataset's CSV files into Parquet. In: the archive; out: a table a split, and their record."""
    input:
        layout.archive("{dataset}"),
    output:
        train=layout.clean("{dataset}") / "train.parquet",
        test=layout.clean("{dataset}") / "test.parquet",
        record=layout.clean("{dataset}") / layout.CLEAN_RECORD,
        done=touch(layout.done("clean", "{dataset}")),
    log:
        layout.log("clean", "{dataset}"),
    benchmark:
        layout.log("clean", "{dataset}", suffix="tsv")
    priority: steps.data_priority
    conda:
        "../envs/data.yml"
    threads: 1
    resources:
        mem_mb=steps.clean_mb,
        runtime=steps.clean_minutes,
    params:
        code=code("clean"),
        config=steps.clean_config,
        subset=steps.subset,
        folder=subpath(output.record, parent=True),
    shell:
        "crepe clean {wildcards.dataset:q} --archive {input:q} --output {params.folder:q}"
        " --config {params.config:q} > {log:q} 2>&1"
