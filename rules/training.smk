# The same run serves as ERM baseline and as reference model: one artifact, used by both.
rule train_reference:
    input:
        encoder=multiext("results/encoders/{task}/{model}/", *ENCODER_FILES),
        train=training_set,
        development=development_sets,
        # All data of the task are checked before any training; a new evaluation set retrains nothing.
        checks=ancient("results/checks/{task}.json"),
    output:
        **model_outputs("results/runs/{task}/{model}/all/full/seed{seed}/model"),
        dynamics="results/runs/{task}/{model}/all/full/seed{seed}/dynamics.parquet",
        trajectory="results/runs/{task}/{model}/all/full/seed{seed}/trajectory.parquet",
        development="results/runs/{task}/{model}/all/full/seed{seed}/development.parquet",
        ledger=run_ledger("results/runs/{task}/{model}/all/full/seed{seed}/ledger.json"),
    log:
        "logs/train/{task}/{model}/all/full/seed{seed}.log",
    cache: SHARED
    priority: run_priority
    conda:
        "../envs/train.yaml"
    threads: settings.runtime.threads
    resources:
        gpu=GPUS * settings.runtime.processes,
        mem_mb=memory,
        runtime=minutes,
    params:
        spec=spec("train_reference"),
    message:
        "Fine-tune {wildcards.model} on all training data (ERM), recording its training dynamics, seed {wildcards.seed}"
    script:
        "../workflow/scripts/train.py"


rule train_main:
    input:
        encoder=multiext("results/encoders/{task}/{model}/", *ENCODER_FILES),
        train=training_set,
        development=development_sets,
        # All data of the task are checked before any training; a new evaluation set retrains nothing.
        checks=ancient("results/checks/{task}.json"),
        supervision=supervision_file,
        reference=reference_ledger,
    output:
        **model_outputs("results/runs/{task}/{model}/{supervision}/{budget}/seed{seed}/model"),
        trajectory="results/runs/{task}/{model}/{supervision}/{budget}/seed{seed}/trajectory.parquet",
        development="results/runs/{task}/{model}/{supervision}/{budget}/seed{seed}/development.parquet",
        ledger=run_ledger("results/runs/{task}/{model}/{supervision}/{budget}/seed{seed}/ledger.json"),
    log:
        "logs/train/{task}/{model}/{supervision}/{budget}/seed{seed}.log",
    # Never a reference run: a cluster's job, which may run this rule alone, would train the one that it reads.
    wildcard_constraints:
        supervision=f"(?!all/full/)(?:{SUPERVISION})",
    cache: SHARED
    priority: run_priority
    conda:
        "../envs/train.yaml"
    threads: settings.runtime.threads
    resources:
        gpu=GPUS * settings.runtime.processes,
        mem_mb=memory,
        runtime=minutes,
    params:
        spec=spec("train_main"),
    message:
        "Fine-tune the main model {wildcards.model} on {wildcards.supervision}, budget {wildcards.budget}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/train.py"
