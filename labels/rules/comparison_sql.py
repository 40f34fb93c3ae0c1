"""The SQL behind `labels.rules.failure_point`: turns flattened, stages compared with their gold.

Every comparison has three values: true and false where log and gold can be compared, null where
one of the two is missing. Scripts run in the order FLAT, TEXTS and VALUES, (register `text_keys`
and `value_keys`), DIFFERENCES, EVIDENCE; `row` numbers the turns, so that a turn id that occurs
twice is two turns. `labels.rules.normalise` says which texts are equal: SQL compares its keys.
"""

from __future__ import annotations

# NLU without a hypothesis, or with a blank intent, did not understand the request: intent "none".
FLAT = """
create temp table flat as
select
    row,
    turn_id,
    coalesce(locale, '') as locale,
    coalesce(wake.phrase, '') as phrase,
    gold is null as no_gold,
    coalesce(gold.addressed, true) as addressed,
    coalesce(gold.unsupported, false) as unsupported,
    case when asr.hypotheses is not null then coalesce(asr.hypotheses[1].text, '') end as heard,
    gold.transcript as said,
    nlu.hypotheses is not null as nlu_logged,
    lower(trim(nlu.hypotheses[1].domain)) as domain,
    coalesce(nullif(lower(trim(nlu.hypotheses[1].intent)), ''), 'none') as intent,
    coalesce(nlu.hypotheses[1].slots, []) as slots,
    len(coalesce(nlu.hypotheses, [])) = 0 as no_hypothesis,
    lower(trim(gold.domain)) as gold_domain,
    nullif(lower(trim(gold.intent)), '') as gold_intent,
    gold.slots as gold_slots,
    -- A replay may state the intent alone, or the slots alone; neither at all is intent "none".
    case
        when gold.replay.intent is not null or len(gold.replay.slots) = 0
        then coalesce(nullif(lower(trim(gold.replay.intent)), ''), 'none')
    end as replay_intent,
    gold.replay.slots as replay_slots,
    -- The slots that the prompt asked to confirm; a bare yes, without slots, confirms them.
    case
        when coalesce(len(nlu.hypotheses[1].slots), 0) = 0
        then flatten([
            coalesce(act.slots, [])
            for act in coalesce(prompt.acts, [])
            if contains(act.act, 'conf')
        ])
    end as confirming,
    er.mentions is not null as er_logged,
    er.mentions as mentions,
    map_entries(gold.entities) as gold_entities,
    case
        when result.action is not null then lower(trim(result.action)) not in ('', 'none')
        when result.response is null and coalesce(len(result.acts), 0) = 0 then false
    end as result_acted,
    gold.result_ok as result_ok,
    lower(trim(gold.action)) <> lower(trim(result.action)) as action_differs
from turns
"""

# Most turns were recognised word for word: their texts need not be normalised.
TEXTS = """
select heard as text, locale, phrase from flat where heard <> said
union select said as text, locale, phrase from flat where heard <> said
"""

VALUES = """
select distinct coalesce(slot.value, '') as text, locale
from (
    select locale, unnest(slots) as slot from flat
    union all select locale, unnest(gold_slots) from flat
    union all select locale, unnest(replay_slots) from flat
    union all select locale, unnest(confirming) from flat
)
"""


def _bag(table: str, column: str) -> str:
    """SQL of a table with the multiset of slots per turn: row, name, key, words, n.

    `n` is how often the value occurs under this name. Two wordings with the same key count as one
    value once; the same wording twice counts twice. `said` is how often the text heard has a value
    that occurs more than once.
    """
    return f"""
create temp table {table} as
select row, name, key, any_value(words) as words, max(repeats) as n, max(said) as said
from (
    select
        row, locale, slot.name as name, coalesce(slot.value, '') as text, count(*) as repeats,
        case
            when count(*) > 1 then len(string_split(lower(any_value(heard)), lower(text))) - 1
        end as said
    from (select row, locale, heard, unnest({column}) as slot from flat)
    group by row, locale, name, text
)
join value_keys using (text, locale)
group by row, name, key;
"""


DIFFERENCES = (
    _bag("frame", "slots")
    + _bag("gold_frame", "gold_slots")
    + _bag("replay_frame", "replay_slots")
    + _bag("confirming", "confirming")
    + """
-- A gold slot that NLU lacks is not a difference in two cases: the prompt asked to confirm it and
-- NLU has no slots, as for a yes; or NLU has the same slot in another of gold's wordings, one of
-- which contains the other word for word ("downtown", "to downtown").
create temp table slot_differences as
with lacking as (
    select gold_frame.*, frame.n is null as absent
    from gold_frame left join frame using (row, name, key)
    where gold_frame.n > coalesce(frame.n, 0)
),
reworded as (
    select lacking.row, lacking.name, lacking.key
    from lacking
    join (select * from gold_frame semi join frame using (row, name, key)) as matched
        on matched.row = lacking.row and matched.name = lacking.name
    where lacking.absent
        and lacking.words <> '' and matched.words <> ''
        and (
            contains(' ' || lacking.words || ' ', ' ' || matched.words || ' ')
            or contains(' ' || matched.words || ' ', ' ' || lacking.words || ' ')
        )
),
lost as (
    select row, name, key from lacking
    anti join confirming using (row, name, key)
    anti join reworded using (row, name, key)
),
-- Two extractors may find one slot: a repetition counts where the value was heard as often.
added as (
    select frame.row
    from frame left join gold_frame using (row, name, key)
    where gold_frame.n is null or frame.n > gold_frame.n and frame.said >= frame.n
)
select row from lost union select row from added;

create temp table replay_differences as
select distinct row
from frame full join replay_frame using (row, name, key)
where frame.n is null or replay_frame.n is null
    or frame.n <> replay_frame.n
    and coalesce(frame.said, replay_frame.said) >= greatest(frame.n, replay_frame.n);

-- Gold has one entity per slot name: it is compared with the first mention of that slot.
create temp table entity_differences as
with expected as (
    select row, entity.key as slot, entity.value as id
    from (select row, unnest(gold_entities) as entity from flat where er_logged)
),
resolved as (
    select row, mention.slot as slot, arg_min_null(mention.candidates[1].id, position) as id
    from (
        select row, unnest(mentions) as mention, generate_subscripts(mentions, 1) as position
        from flat where len(gold_entities) > 0
    )
    group by all
)
select distinct row from expected left join resolved using (row, slot)
where expected.id is distinct from resolved.id;
"""
)

EVIDENCE = """
with compared as (
    select
        flat.*,
        heard = said or heard_key.key = said_key.key as same_text,
        nlu_logged and gold_slots is not null as slots_known,
        slot_differences.row is not null as slots_unlike,
        er_logged and len(gold_entities) > 0 as entities_known,
        entity_differences.row is not null as entities_unlike,
        replay_differences.row is not null as replay_unlike
    from flat
    left join text_keys as heard_key
        on heard_key.text = heard and heard <> said
        and heard_key.locale = flat.locale and heard_key.phrase = flat.phrase
    left join text_keys as said_key
        on said_key.text = said and heard <> said
        and said_key.locale = flat.locale and said_key.phrase = flat.phrase
    left join slot_differences on slot_differences.row = flat.row
    left join entity_differences on entity_differences.row = flat.row
    left join replay_differences on replay_differences.row = flat.row
),
judged as (
    select
        *,
        case
            when nlu_logged then intent <> 'none' or len(slots) > 0
            else result_acted
        end as acted,
        nlu_logged and (
            coalesce(intent <> gold_intent, false)
            or coalesce(domain <> gold_domain, false)
            or gold_domain is not null and gold_intent is null and no_hypothesis
        ) as nlu_differs,
        coalesce(slots_known and slots_unlike, false)
            or coalesce(entities_known and entities_unlike, false) as er_differs,
        slots_known or nlu_logged and len(slots) = 0
            or coalesce(entities_known, false) as slots_settled,
        gold_intent is not null or gold_slots is not null
            or coalesce(len(gold_entities) > 0, false) as frame_stated,
        -- What the replay leaves out cannot clear ASR of an error there.
        case
            when not nlu_logged or replay_intent is null and replay_slots is null then null
            when replay_intent <> intent then false
            when replay_slots is not null and replay_unlike then false
            when replay_intent is null and nlu_differs then null
            when replay_slots is null and not nlu_differs and slots_known and slots_unlike then null
            else true
        end as same_replay,
        coalesce(result_ok, false) as good,
        -- An unsupported request that is not fulfilled is not a failure of the assistant.
        not unsupported and coalesce(not result_ok, action_differs, false) as bad
    from compared
),
evidence as (
    select
        *,
        nlu_logged and frame_stated and slots_settled
            and not nlu_differs and not er_differs as nothing_differs,
        -- Two equal empty frames prove nothing unless gold names the intent.
        nothing_differs and (
            gold_intent is not null or slots_known and len(slots) > 0
            or coalesce(entities_known, false)
        ) as vouched
    from judged
)
"""
