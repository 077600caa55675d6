# The whole table of the paper: download, clean, encode, train, evaluate, table.
#
#   snakemake --cores 8 --resources gpu=1 all
#
# config/README.md says how to choose other datasets, models, seeds and schedules.
from snakemake.utils import min_version

min_version("9.27.1")


configfile: "config/config.yaml"
configfile: "config/datasets.yaml"
configfile: "config/models.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/clean.smk"
include: "workflow/rules/encode.smk"
include: "workflow/rules/vectors.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/table.smk"


rule all:
    """The study's table and report."""
    default_target: True
    input:
        f"{STUDY}/table.csv",
        f"{STUDY}/table.md",
        f"{STUDY}/report.html",
