# What the list of one run says of every label is kept too: the list of a task is made of it.
rule find_issues:
    input:
        dynamics=issue_dynamics,
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


# What a model gives for rows that it was not trained on, for those who want issues out of sample.
rule train_fold:
    input:
        encoder=multiext("results/encoders/{task}/{model}/", *ENCODER_FILES),
        train=training_set,
        development=validation_set,
        checks=ancient("results/checks/{task}.json"),
    output:
        held_out="results/runs/{task}/{model}/without-{fold}/full/seed{seed}/held_out.parquet",
        ledger="results/runs/{task}/{model}/without-{fold}/full/seed{seed}/ledger.json",
    log:
        "logs/train/{task}/{model}/without-{fold}/full/seed{seed}.log",
    cache: SHARED
    conda:
        "../envs/train.yaml"
    threads: settings.runtime.threads
    resources:
        gpu=GPUS * settings.runtime.processes,
        mem_mb=memory,
        runtime=minutes,
    params:
        spec=spec("train_fold"),
    message:
        "Fine-tune {wildcards.model} on all training data without fold {wildcards.fold}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/train.py"


rule gather_folds:
    input:
        outputs=fold_files("held_out.parquet"),
        ledgers=fold_files("ledger.json"),
        train=training_set,
    output:
        "results/folds/{task}/{model}/{folds}/seed{seed}.parquet",
    log:
        "logs/gather_folds/{task}/{model}/{folds}/seed{seed}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("gather_folds"),
    message:
        "Gather what {wildcards.model} gives for rows that it was not trained on, seed {wildcards.seed}"
    script:
        "../workflow/scripts/gather_folds.py"
