rule evaluate:
    input:
        model=multiext("results/runs/{task}/{model}/{selection}/{budget}/seed{seed}/model/", *ENCODER_FILES),
        datasets=evaluation_sets,
    output:
        "results/evaluations/{task}/{model}/{selection}/{budget}/seed{seed}.parquet",
    log:
        "logs/evaluate/{task}/{model}/{selection}/{budget}/seed{seed}.log",
    cache: SHARED
    conda:
        "../envs/train.yaml"
    threads: config["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=memory,
        runtime=minutes,
    params:
        spec=spec("evaluate"),
    message:
        "Evaluate {wildcards.model} trained on {wildcards.selection} ({wildcards.budget}) in and out of distribution, seed {wildcards.seed}"
    script:
        "../workflow/scripts/evaluate.py"
