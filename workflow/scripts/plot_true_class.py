from ftft.data.dataset import Dataset
from ftft.results.figures.true_class import plot
from ftft.workflow.job import job, specification

with job(snakemake):
    source = snakemake.input
    dataset = Dataset.load(source.train)
    plot(specification(snakemake), dataset, source.dynamics, source.ledgers, dict(snakemake.output.items()))
