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


# Apart from the map, which is all that the paper needs: a score that is added costs that score.
rule score_instances:
    input:
        dynamics="results/runs/{task}/{model}/all/full/seed{seed}/dynamics.parquet",
        train=training_set,
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
