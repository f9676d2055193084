from ftft.pipeline.warm import hand_over

hand_over()

from pathlib import Path

from ftft.data.dataset import Dataset
from ftft.models.encoders import prepare_encoder
from ftft.pipeline.contents import content_of_folder, require_unchanged
from ftft.pipeline.job import job, specification

with job(snakemake):
    train = Dataset.load(snakemake.input.train) if snakemake.input.get("train") else None
    spec = specification(snakemake)
    prepare_encoder(spec, train, Path(snakemake.output[0]).parent)
    require_unchanged(spec, content_of_folder)
