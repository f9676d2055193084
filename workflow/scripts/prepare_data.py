from ftft import data, sources
from ftft.job import job, specification

with job(snakemake):
    spec, name = specification(snakemake), snakemake.wildcards.dataset
    records = sources.read(spec, name, snakemake.input.get("source"))
    data.prepare(records, spec, name).save(snakemake.output[0])
