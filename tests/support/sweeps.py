"""The least that a sweep over the recipe of `squares` says."""

SWEEP = {
    "recipe": "r.yaml",
    "overrides": {"evaluate_every": 2},
    "search": {"stages.0.lr": {"loguniform": [1e-4, 1e-2]}},
    "metric": "test/depth/RMSE_m",
    "mode": "min",
    "trials": 3,
}
