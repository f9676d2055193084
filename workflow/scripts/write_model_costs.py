from ftft.pipeline.job import job, specification
from ftft.results.model_costs import write_model_costs

with job(snakemake):
    write_model_costs(
        specification(snakemake),
        snakemake.input.ledgers,
        dict(snakemake.output.items()),
    )
