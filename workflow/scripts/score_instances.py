from ftft.cartography.datamap import write_map
from ftft.pipeline.job import job, specification

with job(snakemake):
    source = snakemake.input
    write_map(
        source.dynamics,
        source.train,
        snakemake.output[0],
        snakemake.threads,
        further=True,
        el2n_epochs=specification(snakemake)["settings"]["el2n_epochs"],
    )
