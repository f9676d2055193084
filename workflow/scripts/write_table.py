from ftft.pipeline.job import job, specification
from ftft.results.provenance import write_provenance
from ftft.results.tables import load_selecting, write_table

with job(snakemake):
    spec, source, output = specification(snakemake), snakemake.input, snakemake.output
    selecting = load_selecting(spec["rows"], source.supervisions, source.maps)
    write_table(spec, source.scores, source.comparisons, source.ledgers, selecting, dict(output.items()))
    write_provenance(spec, source.scores, snakemake.config["runtime"]["configfiles"], output.provenance)
