from pathlib import Path

from ftft.pipeline.job import job, specification
from ftft.results.finetuned import write_finetuned

with job(snakemake):
    source = snakemake.input
    write_finetuned(
        specification(snakemake),
        [Path(file) for file in source.ledgers],
        source.evaluations,
        source.references,
        source.checks,
        snakemake.output.model,
        Path(source.encoder[0]).parent if source.get("encoder") else None,
        source.get("before") or None,
    )
