from ftft.pipeline.job import job, specification
from ftft.results.verdicts import write_verdicts

with job(snakemake):
    write_verdicts(
        specification(snakemake),
        snakemake.input.scores,
        snakemake.input.preflights,
        dict(snakemake.output.items()),
    )
