rule evaluate:
    input:
        model=multiext("results/runs/{task}/{model}/{supervision}/{budget}/seed{seed}/model/", *ENCODER_FILES),
        datasets=evaluation_sets,
    output:
        "results/evaluations/{task}/{model}/{supervision}/{budget}/seed{seed}.parquet",
    log:
        "logs/evaluate/{task}/{model}/{supervision}/{budget}/seed{seed}.log",
    cache: SHARED
    conda:
        "../envs/train.yaml"
    threads: settings.runtime.threads
    resources:
        gpu=GPUS,
        mem_mb=memory,
        runtime=minutes,
    params:
        spec=spec("evaluate"),
    message:
        "Evaluate {wildcards.model} trained on {wildcards.supervision} ({wildcards.budget}) in and out of distribution, seed {wildcards.seed}"
    script:
        "../workflow/scripts/evaluate.py"
