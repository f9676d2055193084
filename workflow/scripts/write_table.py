from ftft.pipeline.job import job, specification
from ftft.results.provenance import write_provenance
from ftft.results.tables import load_supervising, write_table

with job(snakemake):
    spec, source, output = specification(snakemake), snakemake.input, snakemake.output
    supervising = load_supervising(spec["rows"], source.supervisions, source.maps)
    gains, outputs = source.get("gains") or None, dict(output.items())
    ledgers, checks = source.ledgers, source.checks
    write_table(spec, source.scores, source.comparisons, ledgers, supervising, outputs, gains, checks)
    write_provenance(spec, source.scores, snakemake.config["runtime"]["configfiles"], output.provenance)
