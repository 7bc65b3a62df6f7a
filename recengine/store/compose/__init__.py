"""The one place where SQL is put together: names of foreign columns and files come in, quoted; values never do.

Everything that can be written down is a file in `sql/`; what stands here depends on columns that only the data knows.
In this folder, by noun: `names` quotes; `relations` and `values` read what is foreign, `remotes` what stands in other
databases; `attributes` and `versions` write what the catalogue knows of items and users; `checks` finds what is not as
expected; `clocks` reads moments on the clocks of a zone; `questions` are queries of operators; `backups` copies whole
databases.
"""

from recengine.store.compose.attributes import (
    add_attribute,
    attribute_fault,
    attribute_value,
    field,
    survey_attributes,
)
from recengine.store.compose.backups import (
    attach,
    copy_database,
    detach,
    table_digest,
)
from recengine.store.compose.clocks import clock_changes, machine_rows, time_zone
from recengine.store.compose.names import literal, quoted
from recengine.store.compose.questions import READABLE, question
from recengine.store.compose.relations import (
    count_of,
    describe,
    describe_fields,
    drop,
    has_table,
    insert_values,
    quarantine,
    rejects,
    select,
    source_view,
    text_types,
)
from recengine.store.compose.remotes import (
    LOAD_HTTPFS,
    SETTING,
    SQLITE_TYPES,
    column_types,
    first_rows,
    highest_mark,
    mark_setting,
    pulled_view,
    remote_query,
    remote_rows,
    remote_table,
    taken_over,
    typed_rows,
)
from recengine.store.compose.values import (
    id_text,
    order_extent,
    order_ranges,
    parsed_number,
    text_number,
    text_time,
    trimmed_text,
    whole_number,
)
from recengine.store.compose.versions import (
    all_versions,
    append_versions,
    append_whole_versions,
    fill_versions,
    read_versions,
    stage_versions,
    versions_in_force,
)

__all__ = (
    "LOAD_HTTPFS",
    "READABLE",
    "SETTING",
    "SQLITE_TYPES",
    "add_attribute",
    "all_versions",
    "append_versions",
    "append_whole_versions",
    "attach",
    "attribute_fault",
    "attribute_value",
    "clock_changes",
    "column_types",
    "copy_database",
    "count_of",
    "describe",
    "describe_fields",
    "detach",
    "drop",
    "field",
    "fill_versions",
    "first_rows",
    "has_table",
    "highest_mark",
    "id_text",
    "insert_values",
    "literal",
    "machine_rows",
    "mark_setting",
    "order_extent",
    "order_ranges",
    "parsed_number",
    "pulled_view",
    "quarantine",
    "question",
    "quoted",
    "read_versions",
    "rejects",
    "remote_query",
    "remote_rows",
    "remote_table",
    "select",
    "source_view",
    "stage_versions",
    "survey_attributes",
    "table_digest",
    "taken_over",
    "text_number",
    "text_time",
    "text_types",
    "time_zone",
    "trimmed_text",
    "typed_rows",
    "versions_in_force",
    "whole_number",
)
