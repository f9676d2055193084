from ftft.pipeline.job import job
from ftft.results.model_card import write_compared_card

with job(snakemake):
    write_compared_card(snakemake.input.card, snakemake.input.verdict, snakemake.output[0])
