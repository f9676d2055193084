from ftft.cartography.selection import select
from ftft.data.dataset import Dataset
from ftft.pipeline.job import job, measured, specification

with job(snakemake):
    source, output = snakemake.input, snakemake.output
    name, seed = snakemake.wildcards.supervision, int(snakemake.wildcards.seed)
    with measured(output.ledger, supervision=name, seed=seed):
        dataset = Dataset.load(source.train)
        data_map, scores = source.get("data_map") or None, source.get("scores", [])
        select(specification(snakemake), seed, dataset, data_map, output.supervision, scores)
