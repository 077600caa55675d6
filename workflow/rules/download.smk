rule demo_data:
    """Collect the demo's dataset from docstrings on this machine. Out: an archive of the paper's format."""
    input:
        code=sources("data.demo_data"),
    output:
        DEMO,
    log:
        "logs/demo_data.log",
    benchmark:
        "logs/demo_data.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2_000,
        runtime=10,
    shell:
        "crepe demo-data --output {output:q} > {log:q} 2>&1"


rule download:
    """Fetch a dataset's archive, checked. In: nothing, or a file on this machine; out: the archive."""
    input:
        archive=local_file,
        code=sources("data.download"),
    output:
        "data/raw/{dataset}.tgz",
    log:
        "logs/download/{dataset}.log",
    benchmark:
        "logs/download/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1_000,
        runtime=download_minutes,
    params:
        archives=checksums,
        config=download_config,
    shell:
        "crepe download {wildcards.dataset:q} --output {output:q} --config {params.config:q} > {log:q} 2>&1"


rule thesaurus:
    """Fetch a thesaurus, checked. In: nothing, or a file on this machine; out: the file."""
    input:
        file=local_file,
        code=sources("data.download"),
    output:
        "data/raw/{thesaurus}.dat",
    log:
        "logs/thesaurus/{thesaurus}.log",
    benchmark:
        "logs/thesaurus/{thesaurus}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1_000,
        runtime=download_minutes,
    params:
        files=checksums,
        config=download_config,
    shell:
        "crepe download {wildcards.thesaurus:q} --output {output:q} --config {params.config:q} > {log:q} 2>&1"


rule published:
    """Fetch a file of word vectors, checked. In: nothing, or a file on this machine; out: the file."""
    input:
        file=local_file,
        code=sources("data.download"),
    output:
        "data/raw/{published}.bin.gz",
    log:
        "logs/published/{published}.log",
    benchmark:
        "logs/published/{published}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1_000,
        runtime=download_minutes,
    params:
        files=checksums,
        config=download_config,
    shell:
        "crepe download {wildcards.published:q} --output {output:q} --config {params.config:q} > {log:q} 2>&1"
