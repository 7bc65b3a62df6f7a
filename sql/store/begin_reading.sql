-- what: begin a transaction in which nothing can be written
-- params: none
-- rows: none
BEGIN TRANSACTION READ ONLY
