from snakemake.utils import min_version

min_version("9.20")


# A --configfile with tasks of its own stands for itself; one without is laid over the default.
if "tasks" not in config:

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/data.smk"
include: "rules/training.smk"
include: "rules/cartography.smk"
include: "rules/evaluation.smk"
include: "rules/finetune.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/preflight.smk"
include: "rules/verdicts.smk"
include: "rules/issues.smk"


rule all:
    default_target: True
    input:
        collect("results/tables/{table}.csv", table=settings.tables),
        finetuned_cards(),


# Everything that the paper reports.
rule paper:
    input:
        collect("results/tables/{table}.csv", table=[*settings.tables, *further_tables()]),
        all_figures(),


# What reference models promise, before any main model is trained.
rule preflight:
    input:
        collect("results/checks/{task}.json", task=plan.preflight_tasks(settings)),
        collect("results/preflight/{task}.html", task=plan.preflight_tasks(settings)),


# Labels that are probably wrong, by the dynamics of reference runs alone.
rule issues:
    input:
        collect("results/checks/{task}.json", task=plan.working_tasks(settings)),
        collect("results/issues/{task}.csv", task=plan.working_tasks(settings)),


# All that needs a network; whatever comes after runs with HF_HUB_OFFLINE=1.
rule download:
    input:
        hub_files(),
    localrule: True


onstart:
    warn_about_policy()
    prepare_jobs()
