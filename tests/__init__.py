"""Tests of recengine: `unit` by module, `oracles` in plain numpy, `laws` over every algorithm, `house` over the source itself."""
