from ftft.cartography.selection_file import select
from ftft.data.dataset import DatasetIndex
from ftft.pipeline.job import job, measured, specification

with job(snakemake):
    name, seed = snakemake.wildcards.supervision, int(snakemake.wildcards.seed)
    with measured(snakemake.output.ledger, supervision=name, seed=seed):
        select(
            specification(snakemake),
            seed,
            DatasetIndex(snakemake.input.train),
            snakemake.input.get("data_map") or None,
            snakemake.output.supervision,
        )
