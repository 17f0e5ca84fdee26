"""The verbs in Python: fit, tune, evaluate, predict, report, convert. The command line is a thin layer over them."""
