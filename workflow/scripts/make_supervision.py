from ftft.cartography.selection import select
from ftft.data.dataset import Dataset
from ftft.pipeline.job import job, measured, specification

with job(snakemake):
    source, output = snakemake.input, snakemake.output
    name, seed = snakemake.wildcards.supervision, int(snakemake.wildcards.seed)
    with measured(output.ledger, supervision=name, seed=seed):
        dataset = Dataset.load(source.train)
        select(specification(snakemake), seed, dataset, source.get("data_map") or None, output.supervision)
