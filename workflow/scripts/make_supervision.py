from ftft.cartography.selection import needs_texts, select
from ftft.data.dataset import Dataset
from ftft.pipeline.job import job, measured, specification

with job(snakemake):
    source, output = snakemake.input, snakemake.output
    name, seed = snakemake.wildcards.supervision, int(snakemake.wildcards.seed)
    with measured(output.ledger, supervision=name, seed=seed):
        spec = specification(snakemake)
        dataset = Dataset.load(source.train, texts=needs_texts(spec))
        data_map, scores = source.get("data_map") or None, source.get("scores", [])
        select(spec, seed, dataset, data_map, output.supervision, scores)
