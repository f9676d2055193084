from ftft.results.model_costs import write_model_costs
from ftft.workflow.job import job, specification

with job(snakemake):
    write_model_costs(
        specification(snakemake),
        snakemake.input.ledgers,
        dict(snakemake.output.items()),
    )
