"""Python side of the Snakemake workflow: what its rules depend on, need of the machine and are recorded by."""
