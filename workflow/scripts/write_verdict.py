from pathlib import Path

from ftft.pipeline.job import job, specification
from ftft.results.verdicts import write_verdict

with job(snakemake):
    source = snakemake.input
    write_verdict(
        specification(snakemake),
        source.ledgers,
        source.development,
        source.maps,
        source.passes,
        {Path(file).stem: file for file in source.data},
        dict(snakemake.output.items()),
    )
