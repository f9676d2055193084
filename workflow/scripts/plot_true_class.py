from ftft.data.dataset import Dataset
from ftft.pipeline.job import job, specification
from ftft.results.figures.true_class import plot

with job(snakemake):
    source = snakemake.input
    dataset = Dataset.load(source.train)
    plot(specification(snakemake), dataset, source.dynamics, source.ledgers, dict(snakemake.output.items()))
