"""`[[model]]`: what no setting of any kind may be."""

import pytest

from recengine.config import parse
from recengine.config.tune import KINDS
from recengine.errors import ConfigInvalid

NUMBERS = [
    (kind, name) for kind, model in KINDS.items() for name in model.__struct_fields__ if isinstance(getattr(model(), name), float)
]


@pytest.mark.parametrize(("kind", "name"), [*NUMBERS, ("als", "unobserved_weight")])
@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_a_number_that_is_not_finite_is_refused_by_name_and_place(kind, name, value):
    with pytest.raises(ConfigInvalid, match=r"\$\.model\[0\]") as met:
        parse(f'[[model]]\nkind = "{kind}"\n{name} = {value}\n')
    assert name in str(met.value)
    assert parse(f'[[model]]\nkind = "{kind}"\nweight = 1.0\n').model[0].name == kind
