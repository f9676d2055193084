from ftft.cartography.selection import select
from ftft.data.dataset import Dataset
from ftft.workflow.job import job, specification

with job(snakemake):
    select(
        specification(snakemake),
        int(snakemake.wildcards.seed),
        Dataset.load(snakemake.input.train),
        snakemake.input.get("data_map") or None,
        snakemake.output[0],
    )
