"""What a page says while there is nothing to show yet: the shortest way on, with its buttons."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping

import streamlit as st

from charts.formatting import count, several
from charts.sentences import misdated_words
from classifiers.starter.labels import LEAST_TURNS
from data.queries.ground_truth import label_counts
from data.schema.trace import FAILURE_POINTS
from data.schema.vocabulary import FIRST_ANNOTATIONS, NAMES
from data.store.annotations import DESK
from data.store.snapshot import Snapshot
from labels.rules.derived import pending
from labels.rules.failure_point import MIN_PER_CLASS
from parts.jobs.job import jobs
from parts.jobs.widget import watch
from parts.server.access import may, open_store
from parts.server.caching import cached_data
from parts.shared import model_jobs
from parts.shared.log_upload import upload
from parts.shared.view import go_to_newest

# A model needs so many failure points, each with `MIN_PER_CLASS` labels.
_CLASSES = 2


@cached_data(max_entries=8, show_spinner=False)
def _labels(path: str, version: str) -> dict[str, int]:
    with open_store(path).snapshot(only=(*DESK, "labelled")) as snapshot:
        return label_counts(snapshot)


@cached_data(max_entries=8, show_spinner=False)
def _pending(path: str, turns: int, labelled: int) -> dict[str, int]:
    """Labels that follow from gold and are not stored yet, which happens when a model scores."""
    counts: Counter[str] = Counter()
    with open_store(path).snapshot(only=("turns", "labelled")) as snapshot:
        for table in pending(snapshot):
            counts.update(str(name) for name in table["failure_point"].drop_null().to_pylist())
    return counts


def labels_now(path: str) -> dict[str, int]:
    """Labelled turns by failure point as they are now, whatever version the page is pinned to."""
    head = open_store(path).head()
    # By the versions of their own tables: a verdict changes neither, and comes every few seconds.
    derived = _pending(path, *(head.tables.get(name, 0) for name in ("turns", "labelled")))
    counts = Counter(_labels(path, head.version)) + Counter(derived)
    return {name: counts[name] for name in FAILURE_POINTS if counts[name]}


def enough(labels: Mapping[str, int]) -> bool:
    """Whether a model can be trained on so many labels."""
    return sum(n >= MIN_PER_CLASS for n in labels.values()) >= _CLASSES


def _labelled(labels: Mapping[str, int]) -> str:
    each = ", ".join(f"{count(n)} {NAMES[name]}" for name, n in labels.items())
    return f"{several(sum(labels.values()), 'turn')} labelled ({each})"


def labels_words(labels: Mapping[str, int]) -> str:
    """How many labels there are, and what training needs, as sentences."""
    needs = f"a model needs {MIN_PER_CLASS} of each of at least two failure points"
    if not labels:
        return f"No turn is labelled yet; {needs}."
    words = f"So far {_labelled(labels)}"
    return f"{words}." if enough(labels) else f"{words}; {needs}."


def empty_store(path: str) -> None:
    """A page for a store without turns: upload a log, or ingest one."""
    st.header("This store is empty", anchor=False)
    first_logs(path)


def first_logs(path: str) -> None:
    """Ways to read the first logs; the store is made if there is none."""
    if not may("maintain"):
        st.text("An admin can read logs into it.")
        return
    st.text("Read some logs into it: one JSON object per turn and line, plain or compressed.")
    upload(path)
    st.caption("Larger logs and whole folders are read by the command line:")
    command("ingest", "LOGS…", path)


def not_scored(snapshot: Snapshot, path: str) -> None:
    """A page for a store whose turns have not been scored, or have no possible dates."""
    if snapshot.counts()["predictions"]:
        st.header("No turn has a possible date", anchor=False)
        st.text(
            f"{misdated_words(snapshot.counts()['misdated'])} No other turn has been scored. "
            "Explore lists them; correct the clock, and ingest newer logs."
        )
        return
    st.header("Not scored yet", anchor=False)
    next_step(snapshot, path)


def next_step(snapshot: Snapshot, path: str) -> None:
    """The shortest way from turns without predictions to scored ones."""
    if not may("run"):
        st.text("Somebody with the role analyst can have them scored.")
        return
    turns = snapshot.counts()["turns"]
    head, work = open_store(path).head(), jobs(path)
    scoring, training = work.get(model_jobs.SCORE), work.get(model_jobs.TRAIN)
    if scoring is not None:
        model_jobs.scoring(work, scoring)
    elif training is not None and training.state == "running":
        st.text("A model is being trained; after that it can score the turns.")
        watch(training, cancel="Stop")
    elif head.model and head.tables.get("predictions", 0):
        st.text("This version was not scored yet, a newer one is.")
        st.button("Show it", type="primary", icon=":material/update:", on_click=go_to_newest)
    elif head.model:
        st.text(f"There are {several(turns, 'turn')} and a model. Score them:")
        model_jobs.score_button(path, work)
        command("score", "", path)
    elif training is not None and not model_jobs.training_ended(work, training):
        pass
    else:
        labels = labels_now(path)
        st.text(f"There are {several(turns, 'turn')}, but no model has seen them.")
        if turns >= LEAST_TURNS and not enough(labels):
            _score_first(labels, path)
        else:
            _label_first(labels, path)


def _score_first(labels: Mapping[str, int], path: str) -> None:
    """The way without labels: the scoring trains a first model, and people check it afterwards."""
    st.markdown("**First: score the turns.**")
    st.text(
        "A first model learns from signs in the logs and from what users did; its verdicts bring "
        "likely defects to the top, but which stage failed is a guess, and so is how often."
    )
    model_jobs.score_button(path, jobs(path))
    st.caption(model_jobs.COST)
    st.markdown("**Then: label some turns.**")
    so_far = f" {_labelled(labels)} by now." if labels else ""
    st.text(f"From {FIRST_ANNOTATIONS} labels on, people decide what counts as a defect.{so_far}")
    label_buttons(primary=False)
    st.caption("On the command line:")
    command("score", "", path)


def _label_first(labels: Mapping[str, int], path: str) -> None:
    """The way to a model by labels, until there are enough of them to train it."""
    ready = enough(labels)
    st.markdown(
        f"**{'Next: train' if ready else 'First: label some turns'}.** {labels_words(labels)}"
    )
    if ready:
        model_jobs.train_button(path, jobs(path), promote=True)
        st.caption("More labels make it better:")
    label_buttons(primary=not ready)
    st.caption(
        "Logs with the field gold bring their labels along. Then, here or on the command line:"
    )
    command("train", "", path)
    command("score", "", path)


def label_buttons(primary: bool = True) -> None:
    """Draw two ways to labels: label turns now, or read labels from a file."""
    if not may("annotate"):
        return
    with st.container(horizontal=True, gap="small"):
        now = st.button(
            "Label turns now",
            key="label-now",
            type="primary" if primary else "secondary",
            icon=":material/rate_review:",
            help="Judge which stage failed first, one turn per screen",
        )
        files = st.button(
            "Upload annotations",
            key="upload-annotations",
            icon=":material/upload_file:",
            help="Read labels from a CSV, JSONL or Parquet file",
        )
    if now or files:
        # The choice of the page Annotate, where it has been made before.
        st.session_state["task"] = task = "files" if files else "queue"
        st.switch_page("pages/annotate.py", query_params={"task": task})


def command(name: str, arguments: str, path: str) -> None:
    """The command that does the same."""
    words = ["faultline", name, *([arguments] if arguments else []), "--store", shlex.quote(path)]
    st.code(" ".join(words), language=None)
