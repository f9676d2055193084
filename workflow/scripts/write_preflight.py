from pathlib import Path

from ftft.pipeline.job import job, specification
from ftft.results.preflight_page import write_preflight

with job(snakemake):
    source = snakemake.input
    folders = {folder.name: folder for folder in (Path(file).parent for file in source.encoders)}
    write_preflight(
        specification(snakemake),
        source.maps,
        source.ledgers,
        source.dynamics,
        source.train,
        folders,
        dict(snakemake.output.items()),
    )
