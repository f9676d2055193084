from ftft.cartography.datamap import DataMap
from ftft.cartography.selection import Pool, choose
from ftft.data.dataset import Dataset
from ftft.pipeline.job import job, measured, specification
from ftft.tasks.base import kind_of

with job(snakemake):
    spec, source, output = specification(snakemake), snakemake.input, snakemake.output
    name, seed = snakemake.wildcards.supervision, int(snakemake.wildcards.seed)
    with measured(output.ledger, supervision=name, seed=seed):
        dataset = Dataset.load(source.train)
        pool = Pool.of(
            dataset,
            kind_of(dataset.kind),
            DataMap.load_for(source.data_map, dataset) if source.get("data_map") else None,
            spec["fraction"],
            seed,
            spec["rule"],
        )
        choose(spec["selector"], pool, spec["settings"]).save(
            output.supervision, dataset, {**spec, "seed": seed}
        )
