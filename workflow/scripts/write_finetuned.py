from pathlib import Path

from ftft.results.finetuned import write_finetuned
from ftft.workflow.job import job, specification

with job(snakemake):
    source = snakemake.input
    write_finetuned(
        specification(snakemake),
        [Path(file) for file in source.ledgers],
        source.evaluations,
        source.references,
        source.checks,
        snakemake.output.model,
    )
