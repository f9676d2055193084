from ftft.cartography.datamap import write_map
from ftft.pipeline.job import job, measured

with job(snakemake):
    model, seed = snakemake.wildcards.model, int(snakemake.wildcards.seed)
    with measured(snakemake.output.ledger, model=model, seed=seed) as taken:
        source, output = snakemake.input, snakemake.output
        taken["flops"] = write_map(source.dynamics, source.train, output.data_map)
