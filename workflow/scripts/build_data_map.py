from ftft.cartography.datamap import build_map
from ftft.cartography.dynamics import load_dynamics
from ftft.data.dataset import Dataset
from ftft.workflow.job import job, measured

with job(snakemake):
    model, seed = snakemake.wildcards.model, int(snakemake.wildcards.seed)
    with measured(snakemake.output.ledger, model=model, seed=seed):
        dataset = Dataset.load(snakemake.input.train)
        dynamics = load_dynamics(snakemake.input.dynamics, dataset)
        data_map = build_map(dynamics.p_true, dynamics.logits, dynamics.labels, dynamics.uids)
        metadata = {"data_hash": dataset.content_hash, "epochs": len(dynamics.p_true)}
        data_map.save(snakemake.output.data_map, metadata)
