-- what: the columns of external tables, and by what their rows are known
-- params: none
-- rows: none
CREATE TABLE external_columns (
    source VARCHAR NOT NULL,
    "owner" VARCHAR NOT NULL, -- item | user | context
    "column" VARCHAR NOT NULL,
    kind VARCHAR NOT NULL -- number | label
)
