from pathlib import Path

from ftft.results.preflight_page import write_preflight
from ftft.workflow.job import job, specification

with job(snakemake):
    source = snakemake.input
    folders = {folder.name: folder for folder in (Path(file).parent for file in source.encoders)}
    write_preflight(
        specification(snakemake), source.maps, source.ledgers, folders, dict(snakemake.output.items())
    )
