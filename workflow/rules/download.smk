rule demo_data:
    """Collect the demo's dataset from docstrings on this machine. Out: an archive of the paper's format."""
    output:
        layout.DEMO_ARCHIVE,
    log:
        layout.log("demo_data"),
    benchmark:
        layout.log("demo_data", suffix="tsv")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2_000,
        runtime=10,
    params:
        code=code("demo_data"),
    shell:
        "crepe demo-data --output {output:q} > {log:q} 2>&1"


rule download:
    """Fetch a dataset's archive, checked. In: nothing, or a file without a checksum; out: the archive."""
    input:
        steps.before_download,
    output:
        layout.archive("{dataset}"),
    log:
        layout.log("download", "{dataset}"),
    benchmark:
        layout.log("download", "{dataset}", suffix="tsv")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1_000,
        runtime=steps.download_minutes,
    params:
        files=steps.checksums,
        config=steps.download_config,
    shell:
        "crepe download {wildcards[0]:q} --output {output:q} --config {params.config:q} > {log:q} 2>&1"


use rule download as thesaurus with:
    output:
        layout.thesaurus("{thesaurus}"),
    log:
        layout.log("thesaurus", "{thesaurus}"),
    benchmark:
        layout.log("thesaurus", "{thesaurus}", suffix="tsv")


use rule download as published with:
    output:
        layout.published_vectors("{published}"),
    log:
        layout.log("published", "{published}"),
    benchmark:
        layout.log("published", "{published}", suffix="tsv")
