from ftft.data import Dataset
from ftft.job import job, specification
from ftft.selection import select

with job(snakemake):
    select(
        specification(snakemake),
        int(snakemake.wildcards.seed),
        Dataset.load(snakemake.input.train),
        snakemake.input.get("data_map") or None,
        snakemake.output[0],
    )
