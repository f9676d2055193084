from ftft.warm import hand_over

hand_over()

from pathlib import Path

from ftft.data import Dataset
from ftft.encoders import prepare_encoder
from ftft.job import job, specification

with job(snakemake):
    train = Dataset.load(snakemake.input.train) if snakemake.input.get("train") else None
    prepare_encoder(specification(snakemake), train, Path(snakemake.output[0]).parent)
