import dataclasses

import pytest

from trsum_jax.data.made.synthetic import Recipe
from trsum_jax.errors import InputError
from trsum_jax.experiment import check, fields, methods
from trsum_jax.method import reward_terms


def test_every_default_may_be():
    assert [name for name, field in fields.FIELDS.items() if field.fault(field.default)] == []


def test_the_config_has_the_fields_of_the_table_and_variants():
    flat = check.flatten(fields.get_config())
    assert set(flat) == {*fields.FIELDS, 'variants'}
    for name, field in fields.FIELDS.items():
        value = list(field.default) if isinstance(field.default, tuple) else field.default
        assert flat[name] == value, name


def test_the_recipe_the_terms_and_the_rivals_bring_their_own_fields():
    assert {f'data.synthetic.{field.name}' for field in dataclasses.fields(Recipe)} <= set(fields.FIELDS)
    assert {f'summarizer.reward_terms.{name}' for name in reward_terms.TERMS} <= set(fields.FIELDS)
    for rival in methods.RIVALS:
        assert f'{rival}.epochs' in fields.FIELDS


def test_a_preset_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match='expected one of default, reconstruction, published'):
        fields.get_config('papers')
