rule demo_data:
    """Collect the demo's dataset from docstrings on this machine. Out: an archive of the paper's format."""
    output:
        file=layout.DEMO_ARCHIVE,
        done=touch(layout.done("demo_data")),
    log:
        layout.log("demo_data"),
    benchmark:
        layout.log("demo_data", suffix="tsv")
    conda:
        "../envs/data.yml"
    threads: 1
    resources:
        mem_mb=steps.least_mb,
        runtime=10,
    params:
        code=code("demo_data"),
    shell:
        "crepe demo-data --output {output.file:q} > {log:q} 2>&1"


rule download:
    """Fetch a dataset's archive, checked. In: nothing, or a file without a checksum; out: the archive."""
    input:
        steps.before_download,
    output:
        file=layout.archive("{dataset}"),
        done=touch(layout.done("download", "{dataset}")),
    log:
        layout.log("download", "{dataset}"),
    benchmark:
        layout.log("download", "{dataset}", suffix="tsv")
    priority: steps.data_priority
    conda:
        "../envs/data.yml"
    threads: 1
    resources:
        mem_mb=steps.least_mb,
        runtime=steps.download_minutes,
    params:
        files=steps.checksums,
        config=steps.download_config,
    shell:
        "crepe download {wildcards[0]:q} --output {output.file:q} --config {params.config:q} > {log:q} 2>&1"


use rule download as thesaurus with:
    output:
        file=layout.thesaurus("{thesaurus}"),
        done=touch(layout.done("thesaurus", "{thesaurus}")),
    log:
        layout.log("thesaurus", "{thesaurus}"),
    benchmark:
        layout.log("thesaurus", "{thesaurus}", suffix="tsv")


use rule download as published with:
    output:
        file=layout.published_vectors("{published}"),
        done=touch(layout.done("published", "{published}")),
    log:
        layout.log("published", "{published}"),
    benchmark:
        layout.log("published", "{published}", suffix="tsv")
