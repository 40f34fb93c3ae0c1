"""What each table of a store holds, in a few words; for help texts, so nothing is imported."""

from __future__ import annotations

TABLE_MEANINGS = {
    "turns": "trace records: the raw output of every stage, and gold",
    "predictions": "probabilities, predicted failure point and reasons of every turn and model",
    "rollup": "daily sums of the predictions",
    "judged": "predictions of turns with gold in the logs",
    "quarantine": "log lines that were not ingested, with the reason",
    "left_out": "fields that were left out of records, with the cause",
    "runs": "ingested files",
    "labelled": "failure points that follow from the logs' gold",
    "annotations": "people's verdicts",
    "judge_verdicts": "verdicts of outside judges, which are no gold",
    "triage": "owners, states and notes of slices, and owners of turns",
    "tickets": "states of tickets, as their trackers last said",
    "alerts": "rules of alerts, and what came of them",
    "targets": "error budgets",
    "views": "saved views",
    "misdated": "turns with impossible dates",
    "settings": "settings of the store",
    "rewrites": "rewrites mined from sessions, and decisions about them",
    "rewrite_outcomes": "what became of rewrites on later sessions",
    "feedback": "what users' behaviour says about turns",
    "goals": "goals of dialogues, and whether they were reached",
    "generated_labels": "labels that a label model gave to turns",
    "preferences": "what users taught the assistant",
    "preference_changes": "when what users taught was edited or forgotten",
    "users": "who may sign in to the dashboard, and their roles",
    "audit": "sign-ins, exports, statements, changes of roles and refused attempts",
}
