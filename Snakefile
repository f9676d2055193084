# There, modules from a repository and Snakemake's catalog find it, and from there all other files.
include: "workflow/Snakefile"
