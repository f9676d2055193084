# The model to take home: the best of the FTFT runs that the configuration asks for, with its model card.
rule write_finetuned:
    input:
        models=finetune_models,
        trajectories=finetune_files("trajectory.parquet"),
        ledgers=finetune_files("ledger.json"),
        evaluations=finetune_evaluations,
        references=finetune_reference_ledgers,
        before=finetune_pass,
        checks="results/checks/{task}.json",
    output:
        model=kept_by(["all", "finetuned"], multiext("results/finetuned/{task}/", *ENCODER_FILES)),
        scores="results/finetuned/{task}/scores.csv",
        card="results/finetuned/{task}/README.md",
    log:
        "logs/write_finetuned/{task}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_finetuned"),
    message:
        "Leave the fine-tuned model of {wildcards.task} with its model card"
    script:
        "../workflow/scripts/write_finetuned.py"


# One that was trained as an adapter is merged; the adapter alone lies beside it.
use rule write_finetuned as write_finetuned_adapter with:
    input:
        models=finetune_models,
        trajectories=finetune_files("trajectory.parquet"),
        ledgers=finetune_files("ledger.json"),
        evaluations=finetune_evaluations,
        references=finetune_reference_ledgers,
        before=finetune_pass,
        checks="results/checks/{task}.json",
        encoder=finetuned_encoder,
    output:
        model=kept_by(["all", "finetuned"], multiext("results/finetuned/{task}/", *ENCODER_FILES)),
        scores="results/finetuned/{task}/scores.csv",
        card="results/finetuned/{task}/README.md",
        adapter=kept_by(["all", "finetuned"], multiext("results/finetuned/{task}/adapter/", *ADAPTER_FILES)),
    wildcard_constraints:
        task=one_of(name for name, entry in settings.finetune.items() if settings.models[entry.main].adapter),
    conda:
        "../envs/train.yaml"


# Both make the folder; the constraint above says whose it is.
ruleorder: write_finetuned_adapter > write_finetuned


rule finetune:
    input:
        finetuned_cards(),
    localrule: True


rule write_compared_card:
    input:
        card="results/finetuned/{task}/README.md",
        verdict="results/verdicts/compare-{task}.json",
    output:
        "results/compared/{task}/README.md",
    log:
        "logs/write_compared_card/{task}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("write_compared_card"),
    message:
        "Let the model card of {wildcards.task} say whether FTFT paid"
    script:
        "../workflow/scripts/write_compared_card.py"


# After `finetune`: what it has to beat, trained for as long, and whether it did, in words.
rule compare:
    input:
        collect("results/tables/compare-{task}.csv", task=settings.finetune),
        collect("results/verdicts/compare-{task}.html", task=settings.finetune),
        collect("results/compared/{task}/README.md", task=settings.finetune),
    localrule: True
