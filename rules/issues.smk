# What the list of one run says of every label is kept too: the list of a task is made of it.
rule find_issues:
    input:
        dynamics="results/runs/{task}/{model}/all/full/seed{seed}/dynamics.parquet",
        train=training_set,
        repeats="results/checks/{task}.repeats.parquet",
    output:
        scores="results/issues/{task}/{model}/seed{seed}.parquet",
        csv="results/issues/{task}/{model}/seed{seed}.csv",
    log:
        "logs/find_issues/{task}/{model}/seed{seed}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("find_issues"),
    message:
        "Find labels of {wildcards.task} that {wildcards.model} speaks against, seed {wildcards.seed}"
    script:
        "../workflow/scripts/find_issues.py"


rule collect_issues:
    input:
        issues=issue_files,
        train=training_set,
    output:
        csv=report(
            "results/issues/{task}.csv",
            caption="../workflow/report/issues.rst",
            category="Issues",
            labels={"task": "{task}"},
        ),
        summary="results/issues/{task}.json",
    log:
        "logs/collect_issues/{task}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("collect_issues"),
    message:
        "List the labels of {wildcards.task} that are probably wrong"
    script:
        "../workflow/scripts/collect_issues.py"
