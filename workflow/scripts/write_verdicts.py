from ftft.results.verdicts import write_verdicts
from ftft.workflow.job import job, specification

with job(snakemake):
    write_verdicts(
        specification(snakemake),
        snakemake.input.scores,
        snakemake.input.preflights,
        dict(snakemake.output.items()),
    )
