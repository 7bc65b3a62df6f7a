-- what: let a streamed answer be computed ahead while the batch before is used: half the waiting
-- params: none
-- rows: none
SET streaming_buffer_size = '64MB'
