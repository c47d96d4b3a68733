"""README and docs: links lead somewhere, pages stand in the index, the README is short where it has to be."""

import pathlib
import re

import pytest

from trsum_jax.experiment import fields
from trsum_jax.results import report

TOP = pathlib.Path(__file__).resolve().parents[1]
README = TOP / 'README.md'
PAGES = [README, *sorted((TOP / 'docs').glob('*.md')), TOP / 'CHANGELOG.md', TOP / 'CONTRIBUTING.md']
# The five kinds of reader.
SECTIONS = (
    'Reproduce TR-SUM',
    'Train grids on many devices',
    'Test a policy gradient',
    'Summarize a video',
    'Evaluate your own scores',
)


def prose(page):
    """The page without its blocks of code."""
    return re.sub(r'```.*?```', '', page.read_text('utf-8'), flags=re.DOTALL)


def anchors(page):
    """Of its titles, as GitHub makes them: lower case, no signs but hyphens, spaces as hyphens."""
    titles = re.findall(r'^#+ (.*)', prose(page), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for in_text, in_picture in re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', prose(page)):
        link = in_text or in_picture
        place, _, anchor = link.partition('#')
        if '://' in link:
            continue
        target = page.parent / place if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize('page', [README, *(TOP / 'docs').glob('*.md')], ids=lambda page: page.name)
def test_lines_are_no_longer_than_a_screen_is_wide(page):
    lines = [line for line in page.read_text('utf-8').splitlines() if not line.lstrip().startswith('|')]
    assert not [line for line in lines if len(line) > 120]


def test_every_page_stands_in_the_index():
    index = (TOP / 'docs' / 'README.md').read_text('utf-8')
    pages = {path.name for path in (TOP / 'docs').glob('*.md')} - {'README.md'}
    assert set(re.findall(r'^\d+\. \[(\S+)\]\(\1\)', index, re.MULTILINE)) == pages


def test_the_readme_opens_with_two_commands():
    """`.ci/run` takes them from its first block: the demo, then the tests."""
    first, rest = re.search(r'```sh\n(.*?)```', README.read_text('utf-8'), re.DOTALL)[1].splitlines()
    assert first.endswith('-m trsum_jax.main --config=configs/demo.py')
    assert rest.endswith('-m pytest')


def test_a_section_of_the_readme_is_a_screen():
    parts = re.split(r'^## (.*)\n', README.read_text('utf-8'), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert len(parts[0].splitlines()) <= 40
    for title in SECTIONS:
        lines = sections[title].splitlines()
        assert len(lines) <= 40, title
        assert max(map(len, lines)) <= 110, title


def test_the_page_of_fields_is_made_from_the_code():
    page = (TOP / 'docs' / 'fields.md').read_text('utf-8')
    assert page == fields.render_fields(), 'python -m trsum_jax.experiment.fields > docs/fields.md'
    assert all(field.says for field in fields.FIELDS.values())


def test_what_the_tables_say_of_real_people_stands_on_its_page():
    figures = re.findall(r'\.\d+ \[[^\]]+\]', report.REAL_PEOPLE)
    page = (TOP / 'docs' / 'real.md').read_text('utf-8')
    assert len(figures) == 2 and 'docs/real.md' in report.REAL_PEOPLE
    assert all(figure in page for figure in figures)
