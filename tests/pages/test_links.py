"""Every way to set a filter leads to the same turns, and to a link that shows them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from data.queries.filters import BANDS, KEYS, LISTS, NOT, Filter
from data.queries.overview import facets, options, totals, trend
from data.queries.slices import narrowed
from data.schema.trace import FAILURE_POINTS
from data.store import workspace
from data.store.store import Store
from parts.shared.address import FILTERS, PARAMETERS
from tests.app import Open, follow, links, press, texts, turns_shown
from tests.pages.test_explore import columns, key_of
from tests.scored import MODEL

Way = Callable[[Open, Store, Filter], AppTest]


def counted(store: Store, chosen: Filter) -> int:
    with store.snapshot() as snapshot:
        return totals(trend(snapshot, MODEL, chosen)).turns


def shown(at: AppTest) -> int:
    """The number of turns that Explore says are left."""
    return turns_shown(at) if at.metric else 0 if "No turn fits" in texts(at) else -1


def values_of(store: Store) -> dict[str, list[str]]:
    """The values of each key of a filter that occur in a store."""
    with store.snapshot() as snapshot:
        found = {**options(snapshot, MODEL), **facets(snapshot, MODEL)}
    return {**found, "failure_point": list(FAILURE_POINTS)}


@st.composite
def filters(draw: st.DrawFn, store: Store) -> Filter:
    """A filter of one to three conditions."""
    values = values_of(store)
    # Impossible dates are a page of their own: this store has none.
    keys = sorted(set(KEYS) - {"dates"})
    query: dict[str, Any] = {}
    for key in draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3, unique=True)):
        if key in LISTS:
            several = values[key.removeprefix(NOT)]
            query[key] = draw(st.lists(st.sampled_from(several), min_size=1, max_size=2))
        elif key in BANDS:
            query[key] = draw(st.sampled_from((*BANDS[key], "0.11..7.5")))
        elif key == "since":
            query[key] = f"2024-03-{draw(st.integers(1, 9)):02d}"
        elif key == "until":
            query[key] = f"2024-03-{draw(st.integers(10, 20)):02d}"
        elif key == "source":
            query[key] = draw(st.sampled_from(("predicted", "annotated")))
        elif key == "text":
            query[key] = draw(st.sampled_from(("song", "Play", "%", "1&2=3")))
    return Filter.from_query(query)


def by_link(opened: Open, store: Store, chosen: Filter) -> AppTest:
    at = opened(store.path, "explore")
    return follow(at, f"/explore?{urlencode(chosen.query(), doseq=True)}")


def by_bar(opened: Open, store: Store, chosen: Filter) -> AppTest:
    at = opened(store.path, "explore")
    # Both sections open, as a click on their titles would leave them.
    at.session_state["more"] = at.session_state["is not"] = True
    at.run()
    for key, values in chosen.query().items():
        if key in ("since", "until"):
            at.date_input(key=key).set_value(getattr(chosen, key)).run()
        elif key in LISTS and key in {box.key for box in at.multiselect}:
            at.multiselect(key=key).set_value(values).run()
        elif key == "text":
            at.text_input(key=key).set_value(values[0]).run()
        elif key not in LISTS and values[0] in at.selectbox(key=key).options:
            at.selectbox(key=key).select(values[0]).run()
        else:
            # The bar offers bands, and no choice among one value; a link may have them.
            follow(at, f"/explore?{urlencode({**at.query_params, key: values}, doseq=True)}")
    return at


def by_chips(opened: Open, store: Store, chosen: Filter) -> AppTest:
    """Begin with more conditions, and remove them one by one."""
    extra = {"status": ["weird"], "not_intent": ["nothing"], "confidence": ["0.2..0.3"]}
    query = chosen.query()
    added = {key: values for key, values in extra.items() if key not in query}
    at = opened(store.path, "explore")
    follow(at, f"/explore?{urlencode({**query, **added}, doseq=True)}")
    for key, values in added.items():
        at.button(key=f"chip-{key}-{values[0]}").click().run()
    return at


def by_view(opened: Open, store: Store, chosen: Filter) -> AppTest:
    workspace.save_view(store, "mine", "explore", urlencode(chosen.query(), doseq=True))
    # The view replaces whatever was chosen before.
    at = opened(store.path, "explore", device="phone", not_status="weird")
    at.button(key="view-0").click().run()
    return at


def by_earlier_view(opened: Open, store: Store, chosen: Filter) -> AppTest:
    """A view as stores of earlier versions hold it."""
    query = chosen.query()
    if "failure_point" in query:
        query["stage"] = query.pop("failure_point")
    workspace.save_view(store, "mine", "explore", urlencode(query, doseq=True))
    at = opened(store.path, "explore")
    at.button(key="view-0").click().run()
    return at


def by_other_pages(opened: Open, store: Store, chosen: Filter) -> AppTest:
    """There and back over the navigation."""
    at = by_link(opened, store, chosen)
    for page in ("Data", "Turn", "Explore"):
        at = follow(at, links(at)[page])
    return at


WAYS: list[Way] = [by_link, by_bar, by_chips, by_view, by_earlier_view, by_other_pages]


def must_lead_to_the_same(way: Way, opened: Open, store: Store, data: st.DataObject) -> None:
    chosen = data.draw(filters(store))
    at = way(opened, store, chosen)
    assert not at.exception
    assert shown(at) == counted(store, chosen), chosen
    # A reload, or another reader: a new session that has nothing but the link.
    fresh = opened(store.path, "explore")
    fresh = follow(fresh, f"/explore?{urlencode(at.query_params, doseq=True)}")
    assert shown(fresh) == shown(at)
    assert Filter.from_query(fresh.query_params) == Filter.from_query(at.query_params) == chosen


_SLOW: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": (HealthCheck.function_scoped_fixture, HealthCheck.too_slow),
    # An example opens several pages: looking for a smaller one would take minutes.
    "phases": (Phase.explicit, Phase.generate),
}


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=2, derandomize=True, **_SLOW)
@given(data=st.data())
def test_every_way_to_a_filter_leads_to_the_same_turns(
    opened: Open, own_store: Store, way: Way, data: st.DataObject
) -> None:
    must_lead_to_the_same(way, opened, own_store, data)


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, **_SLOW)
@given(data=st.data())
def test_every_way_to_a_filter_leads_to_the_same_turns_whatever_it_is(
    opened: Open, own_store: Store, way: Way, data: st.DataObject
) -> None:
    must_lead_to_the_same(way, opened, own_store, data)


@pytest.mark.parametrize(
    "key", ["failure_point", "device", "slot", "status", "version", "not_slot", "not_device"]
)
def test_a_view_keeps_every_filter_in_the_link(opened: Open, own_store: Store, key: str) -> None:
    value = values_of(own_store)[key.removeprefix(NOT)][0]
    at = by_view(opened, own_store, Filter.from_query({key: value}))
    assert at.query_params[key] == [value] or at.query_params[key] == value
    assert "not_status" not in at.query_params


@pytest.mark.parametrize("rows", ["domain", "verdict", "status", "slot", "confidence", "day"])
def test_a_cell_of_the_pivot_narrows_to_its_turns(
    opened: Open, scored_store: Store, rows: str
) -> None:
    at = opened(scored_store.path, "explore", rows=rows, cols="none", measure="turns")
    at.session_state[key_of(at)] = {
        "selection": {"rows": [], "columns": [], "cells": [(1, columns(at)[0].split(",")[1])]}
    }
    at.run()
    press(at, "Narrow the filters to this")
    chosen = Filter.from_query(at.query_params)
    assert chosen
    assert 0 < turns_shown(at) == counted(scored_store, chosen)
    again = opened(scored_store.path, "explore")
    again = follow(again, f"/explore?{urlencode(at.query_params, doseq=True)}")
    assert turns_shown(again) == turns_shown(at)


def test_the_button_of_triage_leads_to_the_turns_of_the_slice(
    opened: Open, scored_store: Store
) -> None:
    conditions = (("device_type", "phone"), ("locale", "en-GB"))
    slice_key = "asr:" + ";".join(f"{name}={value}" for name, value in conditions)
    at = opened(scored_store.path, "triage", slice=slice_key, not_domain="weather")
    (button,) = at.get("link_button")
    chosen = narrowed(Filter(not_domain=("weather",)), conditions)
    assert chosen is not None
    explore = follow(opened(scored_store.path), button.proto.url)
    expected = Filter.from_query({**chosen.query(), "failure_point": "asr"})
    assert turns_shown(explore) == counted(scored_store, expected)
    assert explore.query_params["failure_point"] in ("asr", ["asr"])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"device": "Phone"}, "No scored turn has device=Phone; did you mean phone?"),
        ({"device": ["phone", "toaster"]}, "No scored turn has device=toaster."),
        ({"not_device": "phnoe"}, "No scored turn has device=phnoe; did you mean phone?"),
        ({"status": "okay"}, "No scored turn has status=okay"),
        ({"version": "asr:99"}, "No scored turn has version=asr:99"),
    ],
)
def test_a_value_that_no_turn_has_is_named(
    opened: Open, scored_store: Store, query: dict[str, Any], words: str
) -> None:
    at = opened(scored_store.path, "explore")
    assert "No scored turn" not in texts(at)
    follow(at, f"/explore?{urlencode(query, doseq=True)}")
    assert words in texts(at)


def test_the_filter_bar_offers_what_counts_on_the_page(opened: Open, scored_store: Store) -> None:
    def labels(page: str | None, **query: str) -> set[str]:
        at = opened(scored_store.path, page, **query)
        return {box.label for box in (*at.multiselect, *at.date_input)}

    for page in (None, "explore", "model", "rewrites"):
        assert {"From", "Device", "Predicted failure point"} <= labels(page), page
    # Triage compares the turns of a failure point with those that are not.
    assert "Device" in labels("triage")
    assert "Predicted failure point" not in labels("triage")
    assert labels("triage", failure_point="asr") >= {"Predicted failure point"}
    assert labels("data", part="storage") == labels("turn", turn="d001-0") == set()
    assert labels("data") == {"From", "To"}
    assert "To" in labels("data", part="drift")
    assert "From" not in labels("data", part="drift")
    assert labels("data", part="signals") >= {"From", "To"}
    assert "Device" not in labels("data", part="signals")
    assert labels("annotate", task="agreement") == labels("rewrites", part="evidence") == set()
    assert labels("turn") >= {"From", "Device"}


def test_the_pages_stand_in_groups_and_keep_the_view(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, "triage", device="phone")
    ways = links(at)
    order = ["Overview", "Data", "Triage", "Turn", "Explore", "Rewrites", "Model", "Annotate"]
    assert [words for words in ways if words in order] == order
    for page in order:
        assert "device=phone" in ways[page]
        assert f"at={at.query_params['at']}" in ways[page]
    words = "".join(block.proto.body for block in at.get("html"))
    for name in ("Watch", "Diagnose", "Learn", "Faultline", scored_store.path.name):
        assert name in words
    assert 'aria-current="page">Triage' in words


def test_steps_back_show_what_the_address_says(opened: Open, scored_store: Store) -> None:
    """The browser sends the address of the earlier step, within the same session."""
    at = opened(scored_store.path, "explore")
    everything = dict(at.query_params)
    whole = turns_shown(at)
    at.multiselect(key="device").select("phone").run()
    phones = dict(at.query_params)
    at.multiselect(key="locale").select("en-GB").run()
    few = turns_shown(at)
    follow(at, f"?{urlencode(phones, doseq=True)}")
    assert few < turns_shown(at) < whole
    assert at.multiselect(key="locale").value == []
    follow(at, f"?{urlencode(everything, doseq=True)}")
    assert turns_shown(at) == whole
    follow(at, f"?{urlencode(phones, doseq=True)}")
    assert turns_shown(at) == counted(scored_store, Filter(device=("phone",)))


def test_only_what_is_declared_is_a_parameter() -> None:
    for page, names in PARAMETERS.items():
        assert not set(names) & set(KEYS), page
        assert set(FILTERS.get(page, ())) <= set(KEYS), page


def widget_of(at: AppTest, key: str) -> Any:
    kinds = (at.selectbox, at.button_group, at.text_input)
    (found,) = (element for kind in kinds for element in kind if element.key == key)
    return found


@pytest.mark.parametrize(
    ("page", "choice", "value"),
    [
        (None, "of", "nlu"),
        (None, "step", "week"),
        ("turn", "find", "play"),
        ("data", "part", "storage"),
        ("annotate", "task", "files"),
    ],
)
def test_choices_of_a_page_are_in_its_link(
    opened: Open, scored_store: Store, page: str | None, choice: str, value: str
) -> None:
    at = opened(scored_store.path, page)
    widget_of(at, choice).set_value(value).run()
    assert not at.exception
    assert at.query_params[choice] == value
    # The same link of another reader.
    assert widget_of(opened(scored_store.path, page, **{choice: value}), choice).value == value


def test_a_step_that_the_period_lacks_is_left_out(opened: Open, scored_store: Store) -> None:
    at = opened(scored_store.path, since="2024-03-20", until="2024-03-22", step="month")
    assert not at.exception
    assert "step" not in at.query_params
    assert "Unknown step=year" in texts(opened(scored_store.path, step="year"))
