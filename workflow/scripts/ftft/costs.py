"""What a method costs, in the paper's unit: the ERM run of one model is 100 (paper, Appendix A.2)."""


def parameter_millions(ledgers: dict[str, dict], configured: dict[str, float | None]) -> dict[str, float]:
    """Millions of parameters by model, all by one convention.

    As configured, if every model has such an entry; else counted, without input embeddings.
    `ledgers` holds one ledger per model.
    """
    if all(configured.get(model) for model in ledgers):
        return {model: configured[model] for model in ledgers}
    return {
        model: ledger["cost"]["parameters"]["without_embeddings"] / 1e6 for model, ledger in ledgers.items()
    }


def run_cost(parameters: float, unit_parameters: float, share: float = 1.0) -> float:
    """Cost of a run that consumed `share` of its planned checkpoints: 6ND with D shared by all runs."""
    return 100 * parameters / unit_parameters * share


def consumed_share(ledger: dict) -> float:
    """Checkpoints that a run trained for, over those it planned."""
    return ledger["outcome"]["consumed_checkpoints"] / ledger["outcome"]["planned_checkpoints"]
