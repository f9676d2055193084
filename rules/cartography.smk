rule build_data_map:
    input:
        dynamics="results/runs/{task}/{model}/all/full/seed{seed}/dynamics.parquet",
        train=training_set,
    output:
        data_map="results/maps/{task}/{model}/seed{seed}.parquet",
        ledger="results/maps/{task}/{model}/seed{seed}.json",
    log:
        "logs/build_data_map/{task}/{model}/seed{seed}.log",
    cache: SHARED
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("build_data_map"),
    message:
        "Build the data map of {wildcards.model}: confidence, variability, correctness, seed {wildcards.seed}"
    script:
        "../workflow/scripts/build_data_map.py"


# Epoch 0 of a language model, the same for all seeds: only where a selection goes by it.
rule look_before_training:
    input:
        encoder=multiext("results/encoders/{task}/{model}/", *ENCODER_FILES),
        train=training_set,
        checks=ancient("results/checks/{task}.json"),
    output:
        before="results/before/{task}/{model}.parquet",
        ledger="results/before/{task}/{model}.json",
    log:
        "logs/look_before_training/{task}/{model}.log",
    cache: SHARED
    conda:
        "../envs/train.yaml"
    threads: settings.runtime.threads
    resources:
        gpu=GPUS,
        mem_mb=memory,
        runtime=minutes,
    params:
        spec=spec("look_before_training"),
    message:
        "Ask {wildcards.model} before training how likely each response is, with and without its prompt"
    script:
        "../workflow/scripts/look_before_training.py"


# Apart from the map, which is all that the paper needs: a score that is added costs that score.
rule score_instances:
    input:
        dynamics=scored_dynamics,
        train=training_set,
        before=pass_before_training,
    output:
        "results/maps/{task}/{model}/seed{seed}.{score}.parquet",
    log:
        "logs/score_instances/{task}/{model}/{score}/seed{seed}.log",
    cache: SHARED
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("score_instances"),
    message:
        "Score the instances of {wildcards.model} by {wildcards.score}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/score_instances.py"


rule make_supervision:
    input:
        data_map=reference_map,
        scores=reference_scores,
        dynamics=reference_dynamics,
        before=ledger_before_training,
        train=training_set,
    output:
        supervision="results/supervisions/{task}/{supervision}/seed{seed}.parquet",
        ledger="results/supervisions/{task}/{supervision}/seed{seed}.json",
    log:
        "logs/make_supervision/{task}/{supervision}/seed{seed}.log",
    cache: SHARED
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec("make_supervision"),
    message:
        "Select the training instances {wildcards.supervision}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/make_supervision.py"
