"""explainerdashboard on a LightGBM model: MODEL ROWS LABELS CLASSES; prints seconds as JSON.

Run with its own Python. ROWS and LABELS are NumPy files: features, and class numbers. CLASSES
are the names of the classes with commas between them.
"""

import json
import resource
import sys
import time
import warnings

import lightgbm as lgb
import numpy as np
import pandas as pd

warnings.simplefilter("ignore")
from explainerdashboard import ClassifierExplainer, ExplainerDashboard  # noqa: E402


def estimator(booster, rows, classes):
    """A trained booster as the kind of estimator that explainerdashboard asks for."""
    every_class = np.arange(len(rows)) % classes
    model = lgb.LGBMClassifier(n_estimators=1, verbose=-1).fit(rows, every_class)
    model._Booster = booster
    return model


def main(model, rows, labels, names):
    booster = lgb.Booster(model_file=model)
    x, y = pd.DataFrame(np.load(rows)).add_prefix("f"), pd.Series(np.load(labels))
    classes = names.split(",")
    began = time.perf_counter()
    # In log-odds, by the trees themselves, as Faultline's; probabilities take many times longer.
    explainer = ClassifierExplainer(
        estimator(booster, x, len(classes)),
        x,
        y,
        labels=classes,
        shap="tree",
        model_output="logodds",
    )
    for name in classes:
        explainer.get_shap_values_df(name)
    explained = time.perf_counter() - began
    began = time.perf_counter()
    ExplainerDashboard(explainer, shap_interaction=False)
    built = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"explain_s": explained, "build_s": built, "peak_gib": peak / 2**20}))


main(*sys.argv[1:])
