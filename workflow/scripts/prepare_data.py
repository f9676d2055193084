from ftft.data import sources
from ftft.paper import cad  # noqa: F401  (it registers the source `cad`)
from ftft.pipeline.contents import require_unchanged
from ftft.pipeline.job import job, specification
from ftft.tasks.prepare import prepare

with job(snakemake):
    spec, name = specification(snakemake), snakemake.wildcards.dataset
    records, provenance = sources.read(spec, name, snakemake.input.get("source"))
    dataset = prepare(records, spec, name, provenance)
    require_unchanged(spec)
    dataset.save(snakemake.output[0])
