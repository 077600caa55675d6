rule table:
    """Set the study's results beside the paper's. In: every run's figures; out: the table, as CSV and Markdown."""
    input:
        metrics=runs("metrics.json"),
        runs=runs("run.json"),
        paper=PAPER,
        code=sources("results.table"),
    output:
        csv=report(f"{STUDY}/table.csv", caption="../report/table.rst", category="Table"),
        markdown=f"{STUDY}/table.md",
    log:
        f"logs/{study.name}/table.log",
    benchmark:
        f"logs/{study.name}/table.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2_000,
        runtime=10,
    params:
        config=study_config(),
    shell:
        "crepe table --config {params.config:q} > {log:q} 2>&1"


rule report:
    """Show the study's results, one page. In: the table and every run; out: the page.

    Texts, predictions and weights are shown where they are on this machine, and need no line here: when they change, so
    do the figures and records of their run.
    """
    input:
        table=f"{STUDY}/table.csv",
        metrics=runs("metrics.json"),
        runs=runs("run.json"),
        history=runs("history.csv"),
        paper=PAPER,
        code=sources("results.report"),
        templates=multiext("crepe/results/report/", "page.html", "page.css", "page.js", "run.html"),
    output:
        report(f"{STUDY}/report.html", caption="../report/report.rst", category="Report"),
    log:
        f"logs/{study.name}/report.log",
    benchmark:
        f"logs/{study.name}/report.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4_000,
        runtime=60,
    params:
        config=study_config(),
    shell:
        "crepe report --config {params.config:q} > {log:q} 2>&1"
