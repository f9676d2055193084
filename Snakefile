# There, modules from a repository and Snakemake's catalog find it, and from there all other files.
include: "workflow/Snakefile"


# Snakemake forgets the default target of what it includes.
workflow.default_target = "all"
