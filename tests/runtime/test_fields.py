import pytest

from trsum_jax.runtime.fields import Field


@pytest.mark.parametrize(
    ('within', 'inside', 'outside'),
    [
        ('(0, 1]', (0.5, 1), (0, 1.01, -1, float('nan'))),
        ('[0, 1)', (0, 0.99), (1, -0.01)),
        ('(0, inf)', (1e-9, 1e9), (0, float('inf'))),
        ('[0, inf)', (0, 5.0), (-1e-9,)),
    ],
)
def test_a_range_holds_what_is_between_its_ends(within, inside, outside):
    field = Field(0.5, within=within)
    assert [field.fault(value) for value in inside] == [''] * len(inside)
    assert [field.fault(value) for value in outside] == [f'expected a number in {within}'] * len(outside)
    assert field.may_be() == within


def test_a_choice_and_a_least_number():
    field = Field('map', choices=('map', 'vmap'))
    assert field.fault('vmap') == ''
    assert field.fault('both') == 'expected one of map, vmap'
    assert field.may_be() == 'map, vmap'
    field = Field(1, least=0)
    assert (field.fault(0), field.fault(-1), field.may_be()) == ('', 'expected 0 or more', '0 or more')


def test_a_field_without_bounds_may_be_anything():
    assert Field('').fault('anything') == ''
    assert Field(0.0).may_be() == ''
