rule table:
    """Set the study's results beside the paper's. In: every run's metrics; out: the table, as CSV and Markdown."""
    input:
        metrics=steps.runs(layout.METRICS),
        runs=steps.runs(layout.RECORD),
    output:
        csv=report(layout.table(study.name), caption="../report/table.rst", category="Table"),
        markdown=layout.table(study.name, "md"),
        errors=[layout.dvc_metrics(study.name, dataset) for dataset in study.datasets],
    log:
        layout.log(study.name, "table"),
    benchmark:
        layout.log(study.name, "table", suffix="tsv")
    conda:
        "../envs/results.yml"
    threads: 1
    resources:
        mem_mb=steps.least_mb,
        runtime=10,
    params:
        code=code("table"),
        config=steps.study_config(),
        paper=steps.paper(),
    shell:
        "crepe table --config {params.config:q} > {log:q} 2>&1"


rule report:
    """Show the study's results, one page. In: the table and every run; out: the page.

    Texts, predictions and weights are shown if they are on this machine. They need no line here: when they change, so
    do the metrics and records of their run.
    """
    input:
        table=rules.table.output.csv,
        metrics=steps.runs(layout.METRICS),
        runs=steps.runs(layout.RECORD),
        history=steps.runs(layout.HISTORY),
    output:
        report(layout.report(study.name), caption="../report/report.rst", category="Report"),
    log:
        layout.log(study.name, "report"),
    benchmark:
        layout.log(study.name, "report", suffix="tsv")
    conda:
        "../envs/results.yml"
    threads: 1
    resources:
        mem_mb=steps.report_mb,
        runtime=60,
    params:
        code=code("report"),
        config=steps.study_config(),
        paper=steps.paper(),
    shell:
        "crepe report --config {params.config:q} > {log:q} 2>&1"
