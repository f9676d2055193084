# What rules read and write: input functions, outputs in several forms, the targets of `paper`.


def data_files(task, names):
    return collect("results/data/{task}/{dataset}.parquet", task=task, dataset=names)


def run_files(runs, name):
    return collect("results/runs/{run.path}/{name}", run=runs, name=name)


def evaluation_files(runs):
    return collect("results/evaluations/{run.path}.parquet", run=runs)


def map_files(runs):
    return collect("results/maps/{run.task}/{run.model}/seed{run.seed}.parquet", run=runs)


def source_files(wildcards):
    dataset = config["tasks"][wildcards.task]["datasets"].get(wildcards.dataset, {})
    if dataset and SOURCES[dataset["source"]].reads_path:
        return dataset["path"]
    if dataset and SOURCES[dataset["source"]].downloads:
        return "results/downloads/{task}/{dataset}.parquet"
    return []


def tokenizer_texts(wildcards):
    if config["models"][wildcards.model]["source"] != "scratch":
        return []
    return data_files(wildcards.task, config["tasks"][wildcards.task]["train"])


def all_datasets(wildcards):
    return data_files(wildcards.task, plan.used_datasets(config["tasks"][wildcards.task]))


def training_set(wildcards):
    return f"results/data/{wildcards.task}/{config['tasks'][wildcards.task]['train']}.parquet"


def development_sets(wildcards):
    return data_files(wildcards.task, plan.development_sets(config["tasks"][wildcards.task]))


def selection_file(wildcards):
    if wildcards.selection == plan.ALL_DATA:
        return []
    return "results/selections/{task}/{selection}/seed{seed}.parquet"


def reference_slice(config, task, model):
    return slices.training_slice(config, task, model, budget="full")


def selection_source(wildcards):
    selection = plan.Selection.parse(wildcards.selection)
    if selection.reference is None:
        return []
    kind = "" if plan.scored_by(selection.region, config) in plan.MAP_REGIONS else ".further"
    return f"results/maps/{wildcards.task}/{selection.reference}/seed{wildcards.seed}{kind}.parquet"


def evaluation_sets(wildcards):
    return data_files(wildcards.task, config["tasks"][wildcards.task]["evaluate"])


def table(wildcards):
    try:
        return config["tables"][wildcards.table]
    except KeyError:
        raise WorkflowError(
            f"{wildcards.table}: this configuration has no task and models for it\n"
            "  what to do: name them after the paper's, or set stands_for (config/README.md)"
        ) from None


def table_runs(wildcards):
    return plan.table_runs(table(wildcards), config)


def scored_evaluations(wildcards):
    return evaluation_files(table_runs(wildcards))


def scored_ledgers(wildcards):
    return run_files(table_runs(wildcards), "ledger.json")


def data_checks(wildcards):
    return f"results/checks/{table(wildcards)['task']}.json"


def cost_ledgers(wildcards):
    return run_files(plan.cost_runs(table(wildcards), config), "ledger.json")


def selection_ledgers(wildcards):
    files = [run.files().get("selection_ledger") for run in table_runs(wildcards)]
    return list(dict.fromkeys(filter(None, files)))


def map_ledgers(wildcards):
    runs = plan.table_reference_runs(table(wildcards), config)
    return collect("results/maps/{run.task}/{run.model}/seed{run.seed}.json", run=runs)


def further_tables():
    """The tables that are not about methods, as far as this configuration has something to show in them."""
    if not config["tables"]:
        return []
    decidable = ["claims"] if paper.claims(config) else []
    return ["table3", "patience", *(["table4"] if plan.all_reference_runs(config) else []), *decidable]


def table_outputs(name, caption):
    """A table as CSV (in the report), Markdown and LaTeX."""
    return {
        "csv": report(
            f"results/tables/{name}.csv",
            caption=f"../workflow/report/{caption}.rst",
            category="Tables",
            labels={"table": name, "format": "csv"},
        ),
        "md": f"results/tables/{name}.md",
        "tex": f"results/tables/{name}.tex",
    }


def figure_outputs(name, caption):
    """A figure as SVG (in the report) and PNG, and its source data as CSV."""
    return {
        "svg": report(
            f"results/figures/{name}.svg",
            caption=f"../workflow/report/{caption}.rst",
            category="Figures",
            labels={"figure": name},
        ),
        "png": f"results/figures/{name}.png",
        "csv": f"results/figures/{name}.csv",
    }


def all_figures():
    """The figures that this configuration has something to show in."""
    files = []
    for task in plan.table_tasks(config):
        references = plan.task_reference_runs(config, task)
        names = [f"overlap_{group}" for group in plan.overlap_groups(config, task)]
        names += ["true_class"] if references else []
        names += ["learning_curves"] if plan.curve_runs(config, task) else []
        names += ["training_length"] if task in config["figures"]["training_length"] else []
        first = config["seeds"][0]
        shown = [run for run in references if run.seed == first]
        names += [f"data_map/{run.model}/seed{run.seed}" for run in shown]
        files += collect("results/figures/{task}/{name}.svg", task=task, name=names)
        files += collect("results/maps/{run.task}/{run.model}/seed{run.seed}.html", run=shown)
    return files


def candidate_maps(wildcards):
    return map_files(plan.preflight_runs(config, wildcards.task))


def candidate_ledgers(wildcards):
    return run_files(plan.preflight_runs(config, wildcards.task), "ledger.json")


def counted_encoders(wildcards):
    """The encoders whose parameters a preflight counts: none where all sizes are configured."""
    sizes = slices.preflight_slice(config, wildcards.task)["parameters_m"]
    if all(sizes.values()):
        return []
    files = ["config.json", "model.safetensors"]
    return collect("results/encoders/{task}/{model}/{file}", task=wildcards.task, model=sizes, file=files)


def judged_scores():
    """The scores of the tables that show what became of candidates."""
    judged = plan.judged_tasks(config)
    tables = {name: table for name, table in config["tables"].items() if table["task"] in judged}
    names = [name for name in tables if not name.startswith(plan.LENGTH_TABLE)]
    return collect("results/scores/{table}.parquet", table=names)


def overlapping_selections(wildcards):
    return plan.overlap_selections(config, wildcards.task, wildcards.group)


def overlapping_ledgers(wildcards):
    return run_files(plan.overlap_runs(config, wildcards.task, wildcards.group), "ledger.json")


def hub_files():
    """What comes from the hub for the tasks in use: data sets and encoders, at their revisions."""
    hub_models = [name for name, model in config["models"].items() if model["source"] == "hub"]
    files = collect(
        "results/encoders/{task}/{model}/config.json", task=plan.working_tasks(config), model=hub_models
    )
    for name in plan.working_tasks(config):
        task = config["tasks"][name]
        used = {dataset: task["datasets"].get(dataset, {}) for dataset in plan.used_datasets(task)}
        from_hub = [dataset for dataset, entry in used.items() if entry.get("source") == "hub"]
        files += collect("results/downloads/{task}/{dataset}.parquet", task=name, dataset=from_hub)
    return files


def finetuned_cards():
    return collect("results/finetuned/{task}/README.md", task=config["finetune"])


def finetune_files(name):
    def files(wildcards):
        return run_files(plan.finetune_runs(config, wildcards.task), name)

    return files


def finetune_models(wildcards):
    runs = plan.finetune_runs(config, wildcards.task)
    return collect("results/runs/{run.path}/model/{file}", run=runs, file=ENCODER_FILES)


def finetune_evaluations(wildcards):
    return evaluation_files(plan.finetune_runs(config, wildcards.task))


def finetune_reference_ledgers(wildcards):
    return run_files(plan.finetune_references(config, wildcards.task), "ledger.json")


def length_ledger(wildcards):
    return run_files(plan.length_run(config, wildcards.task), "ledger.json")


def reference_files(name):
    def files(wildcards):
        return run_files(plan.task_reference_runs(config, wildcards.task), name)

    return files


def curve_files(name):
    def files(wildcards):
        return run_files(plan.curve_runs(config, wildcards.task).values(), name)

    return files
