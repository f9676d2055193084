from ftft.artifacts import read_json
from ftft.cartography.selection import needs_training, read_training_set, select
from ftft.pipeline.job import job, measured, specification

with job(snakemake):
    source, output = snakemake.input, snakemake.output
    name, seed = snakemake.wildcards.supervision, int(snakemake.wildcards.seed)
    with measured(output.ledger, supervision=name, seed=seed) as taken:
        spec = specification(snakemake)
        dataset = read_training_set(spec, source.train)
        data_map, dynamics = (source.get(key) or None for key in ("data_map", "dynamics"))
        scores = source.get("scores", [])
        taken["shared"] = select(spec, seed, dataset, data_map, output.supervision, scores, dynamics)
        if source.get("before"):
            taken |= {
                "before": read_json(source.before),
                "trained": needs_training(spec["selector"], spec["settings"]),
            }
