from ftft.data import Dataset
from ftft.datamap import build_map
from ftft.dynamics import load_dynamics
from ftft.job import job

with job(snakemake):
    dataset = Dataset.load(snakemake.input.train)
    p_true, logits = load_dynamics(snakemake.input.dynamics, dataset)
    data_map = build_map(p_true, logits, dataset.labels, dataset.uids)
    data_map.save(snakemake.output[0], {"data_hash": dataset.content_hash, "epochs": len(p_true)})
