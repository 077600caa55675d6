# The workflow is in workflow/Snakefile.
include: "workflow/Snakefile"


# What is included has no say in what is made if nothing is named.
workflow.default_target = "all"
