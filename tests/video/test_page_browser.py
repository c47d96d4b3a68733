"""The page in a real browser: headless Chromium, where it is installed."""

import dataclasses
import json
import os
import re
import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('jinja2')

import pages
from rendered import scene

from trsum_jax.video import page
from trsum_jax.video.written import index_page


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    return pages.make(tmp_path_factory.mktemp('page'))


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    """Chromium without a network."""
    webdriver = pytest.importorskip('selenium.webdriver')
    driver, chromium = shutil.which('chromedriver'), shutil.which('chromium')
    if not (driver and chromium):
        pytest.skip('needs chromium and chromedriver (Debian: chromium, chromium-driver)')
    home = str(tmp_path_factory.mktemp('chromium'))
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        *('headless', 'no-sandbox', 'disable-gpu', 'disable-quic', 'no-first-run', 'disable-sync'),
        *('disable-background-networking', 'disable-component-update', 'disable-dev-shm-usage'),
        *('proxy-server=127.0.0.1:9', 'window-size=1280,900', f'user-data-dir={home}/profile'),
    ):
        options.add_argument(f'--{argument}')
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
    service = webdriver.ChromeService(driver, env=os.environ | {'HOME': home})
    chrome = webdriver.Chrome(options, service)
    yield chrome
    chrome.quit()


@pytest.fixture
def shown(browser, made):
    """The browser with the page in it, ready to play; whatever it complained of fails the test."""
    yield from opened(browser, made.page)


def opened(browser, path):
    for kind in ('browser', 'performance'):
        browser.get_log(kind)
    browser.get(path.as_uri())
    waited(browser, 'video.readyState > 1')
    yield browser
    assert browser.get_log('browser') == []
    events = [json.loads(entry['message'])['message'] for entry in browser.get_log('performance')]
    asked = [event['params'] for event in events if event['method'] == 'Network.requestWillBeSent']
    urls = [request['request']['url'] for request in asked if request['documentURL'] == path.as_uri()]
    assert path.as_uri() in urls
    assert {urlsplit(url).scheme for url in urls} <= {'file', 'data', 'blob'}


def waited(browser, condition: str):
    from selenium.webdriver.support.wait import WebDriverWait

    script = f'const video = document.querySelector("video"); return {condition}'
    return WebDriverWait(browser, 20).until(lambda _: browser.execute_script(script))


def colour(browser) -> np.ndarray:
    """Mean colour of the frame that the film shows."""
    return (
        np.array(
            browser.execute_script("""
            const video = document.querySelector('video'), canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [160, 90];
            const context = canvas.getContext('2d');
            context.drawImage(video, 0, 0);
            return [...context.getImageData(0, 0, 160, 90).data];
        """)
        )
        .reshape(-1, 4)[:, :3]
        .mean(0)
    )


def wait_for_scene(browser, shot):
    """A busy machine draws the new frame somewhat later than it says."""
    from selenium.webdriver.support.wait import WebDriverWait

    expected = scene(shot, height=90, width=160).mean((0, 1))
    WebDriverWait(browser, 20).until(lambda _: np.abs(colour(browser) - expected).max() < 12)


def test_it_shows(shown):
    assert shown.title == 'Summary of ' + pages.HOSTILE.replace('\u202e', '\\u202e')
    visible = [
        element.is_displayed() for element in shown.find_elements('css selector', 'svg.chart, h1, video')
    ]
    assert visible == [True] * 3
    loaded = 'return [...document.images].every((image) => image.complete && image.naturalWidth === 480)'
    assert shown.execute_script(loaded)
    rows = shown.find_elements('css selector', 'ol li')
    assert len(rows) == pages.N_SHOTS
    shown.find_element('css selector', '#only').click()
    assert [i for i, row in enumerate(rows) if row.is_displayed()] == pages.CHOSEN


def test_it_plays_and_the_cursor_follows(shown):
    shown.execute_script('const video = document.querySelector("video"); video.muted = true; video.play()')
    waited(shown, 'video.currentTime > 2.1')
    shown.execute_script('document.querySelector("video").pause()')
    waited(shown, 'document.querySelector(".place").textContent.startsWith("Shot 6, 0:05.")')
    time = shown.execute_script('return document.querySelector("video").currentTime')
    place = float(shown.find_element('css selector', '.cursor').get_attribute('x1').removesuffix('%'))
    # The third second of the film is the sixth of the video.
    assert place / 100 * 12 == pytest.approx(time + 3, abs=0.3)
    marked = shown.find_elements('css selector', '[aria-current]')
    assert [element.get_attribute('data-shot') for element in marked] == ['6', '6']


@pytest.mark.parametrize('how', ['click', 'Enter', 'row', 'row button'])
def test_jumping(shown, how):
    for i, shot in [(3, 9), (0, 1), (2, 5)]:
        before = shown.execute_script('return document.querySelector("video").currentTime')
        if how in ('click', 'Enter'):
            target = shown.find_elements('css selector', '.frames .go')[i]
        else:
            target = shown.find_element('css selector', f'li[data-shot="{shot + 1}"] {how[4:] or ".when"}')
        if how == 'Enter':
            target.send_keys('\ue007')
        else:
            target.click()
        waited(
            shown,
            f'!video.seeking && video.currentTime !== {before} && Math.abs(video.currentTime - {i}) < 0.1',
        )
        wait_for_scene(shown, shot)


def test_the_chart_jumps_to_the_nearest_moment_of_the_summary(shown):
    from selenium.webdriver import ActionChains

    chart = shown.find_element('css selector', '.chart')
    # Seconds of the video, and where the film shows the nearest one that it has.
    for clicked, place in [(5.5, 2.5), (7.9, 3.0), (11.5, 4.0), (0.2, 0.0)]:
        offset = round((clicked / 12 - 0.5) * chart.size['width'])
        ActionChains(shown).move_to_element_with_offset(chart, offset, 0).click().perform()
        waited(shown, f'!video.seeking && Math.abs(video.currentTime - {place}) < 0.1')


def test_a_browser_that_refuses_long_data_uris_plays_from_memory(shown):
    shown.execute_script('document.querySelector("video").src = "data:video/mp4;base64,AAAA"')
    waited(shown, 'video.currentSrc.startsWith("blob:") && video.readyState > 1')
    assert shown.execute_script('return document.querySelector("video").duration') == pytest.approx(
        4, abs=0.1
    )


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [360, 390, 1280])
def test_any_screen(shown, scheme, width):
    feature = {'name': 'prefers-color-scheme', 'value': scheme}
    shown.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': [feature]})
    size = {'width': width, 'height': 740, 'deviceScaleFactor': 1, 'mobile': width < 1000}
    shown.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
    try:
        assert shown.execute_script('return innerWidth') == width
        assert shown.execute_script('return document.documentElement.scrollWidth') <= width
        # Nothing scrolls but the page, nothing sticks out, and no line of the list is broken in two.
        wrong = shown.execute_script("""
            const every = [...document.querySelectorAll('main *')];
            const scrolls = (one) => /auto|scroll/.test(getComputedStyle(one).overflowY)
                && one.scrollHeight > one.clientHeight;
            const sticksOut = (one) => one.getBoundingClientRect().right > innerWidth;
            return [every.filter(scrolls).length, every.filter(sticksOut).length];
        """)
        assert wrong == [0, 0]
        heights = {row.size['height'] for row in shown.find_elements('css selector', 'ol li')}
        assert max(heights) - min(heights) < 2
        ground = shown.execute_script('return getComputedStyle(document.body).backgroundColor')
        levels = [int(level) for level in re.findall(r'\d+', ground)]
        assert max(levels) < 60 if scheme == 'dark' else min(levels) > 200
    finally:
        shown.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})
        shown.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': []})


def test_a_film_beside_plays_too(browser, made, tmp_path):
    film = pages.large(made.film, tmp_path / 'a #1 100%?.mp4')
    page.write_page(made.summary, film, tmp_path / 'page.html', embedded=100_000)
    for _ in opened(browser, tmp_path / 'page.html'):
        assert waited(browser, 'video.currentSrc').startswith('file:')
        assert browser.execute_script('return document.querySelector("video").duration') == pytest.approx(
            4, abs=0.1
        )
        told = browser.find_element('css selector', '[data-when=beside]')
        assert told.is_displayed() and film.name in told.text
    film.unlink()
    browser.get((tmp_path / 'page.html').as_uri())
    # Now the copy plays, with the same times.
    assert waited(browser, 'video.readyState > 1 && video.currentSrc').startswith(('data:', 'blob:'))
    assert waited(browser, 'video.duration') == pytest.approx(4, abs=0.1)
    assert browser.find_element('css selector', '[data-when=alone]').is_displayed()
    assert not browser.find_element('css selector', '[data-when=beside]').is_displayed()
    browser.find_element('css selector', 'li[data-shot="10"] .when').click()
    waited(browser, '!video.seeking && Math.abs(video.currentTime - 3) < 0.1')
    wait_for_scene(browser, 9)


def test_the_page_of_a_folder_leads_to_the_others(browser, made, tmp_path):
    index, film = tmp_path / 'index.html', made.film
    entries = [index_page.Entry(made.summary, film, made.page, 0.0), index_page.Entry(made.summary, film)]
    index_page.write_index(entries, {film: f'{film}: broken'}, index, film)
    size = {'width': 390, 'height': 740, 'deviceScaleFactor': 1, 'mobile': True}
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
    try:
        for _ in opened(browser, index):
            assert browser.execute_script('return document.documentElement.scrollWidth') == 390
            assert browser.execute_script('return [...document.images].every((one) => one.naturalWidth)')
            assert 'film.mp4: broken' in browser.find_element('css selector', '.left').text
        browser.find_element('css selector', 'article h2 a').click()
        assert waited(browser, 'document.title').startswith('Summary of')
    finally:
        browser.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})


def test_marks_of_before_stay_until_they_are_overruled(browser, made, tmp_path):
    firsts = made.summary.shots[:, 0].tolist()
    summary = dataclasses.replace(
        made.summary, kept=frozenset([firsts[2]]), dropped=frozenset([firsts[9], firsts[4]])
    )
    page.write_page(summary, made.film, tmp_path / 'page.html', recut=tmp_path / 'a.json')
    for _ in opened(browser, tmp_path / 'page.html'):
        panel = browser.find_element('css selector', '.recut')

        def pressed():
            found = browser.find_elements('css selector', 'ol [aria-pressed=true]')
            return [button.get_attribute('aria-label') for button in found]

        before = ['keep shot 3', 'drop shot 5', 'drop shot 10']
        assert pressed() == before and not panel.is_displayed()
        press = 'document.querySelector(`ol [data-of="${arguments[0]}"] [data-mark=${arguments[1]}]`).click()'
        browser.execute_script(press, 3, 'keep')
        assert pressed() == before and not panel.is_displayed()
        browser.execute_script(press, 3, 'drop')
        browser.execute_script(press, 10, 'keep')
        browser.execute_script(press, 10, 'keep')
        assert pressed() == ['drop shot 3', *before[1:]]
        command = browser.find_element('css selector', '#command').get_attribute('value')
        assert command == 'trsum recut a.json --drop=3'
        browser.find_element('css selector', '.clear').click()
        assert pressed() == before and not panel.is_displayed()


def test_the_panel_lies_over_nothing_that_has_the_focus(shown):
    size = {'width': 390, 'height': 600, 'deviceScaleFactor': 1, 'mobile': True}
    shown.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
    try:
        for shot in range(1, pages.N_SHOTS + 1):
            button = shown.find_element('css selector', f'ol [data-of="{shot}"] [data-mark=keep]')
            button.send_keys('\ue007')
            shown.execute_script('arguments[0].blur(); arguments[0].focus()', button)
            assert shown.execute_script("""
                const {x, y, width, height} = document.activeElement.getBoundingClientRect();
                return document.elementFromPoint(x + width / 2, y + height / 2) === document.activeElement;
            """)
    finally:
        shown.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})


@pytest.mark.parametrize('clipboard', [True, False])
def test_marks_become_a_command(shown, clipboard):
    def press(shot, kind, place='ol'):
        button = f'{place} [data-of="{shot}"] [data-mark={kind}]'
        shown.find_element('css selector', button).send_keys('\ue007')

    def pressed():
        found = shown.find_elements('css selector', '[aria-pressed=true]')
        return [button.get_attribute('aria-label') for button in found]

    before = shown.execute_script('return document.querySelector("video").currentTime')
    panel = shown.find_element('css selector', '.recut')
    assert not panel.is_displayed()
    for shot in (7, 3, 5, 6):
        press(shot, 'keep')
    press(2, 'drop', '.frames')
    press(12, 'keep')
    press(12, 'keep')
    press(10, 'keep')
    press(10, 'drop')
    command = shown.find_element('css selector', '#command')
    told = "trsum recut 'it'\"'\"'s a.json' --keep=3,5-7 --drop=2,10"
    assert panel.is_displayed() and command.get_attribute('value') == told
    # A shot that is on the page twice is marked twice.
    assert pressed().count('drop shot 2') == pressed().count('keep shot 6') == 2
    assert 'keep 3, 5–7; drop 2, 10' in panel.text
    assert shown.execute_script('return document.querySelector("video").currentTime') == before
    if clipboard:
        shown.execute_script('navigator.clipboard.writeText = async (text) => { window.copied = text; }')
    else:
        shown.execute_script("""
            Object.defineProperty(navigator, 'clipboard', {value: undefined});
            document.execCommand = () => false;
        """)
    shown.find_element('css selector', '.copy').click()
    said = waited(shown, 'document.querySelector(".told").textContent.match(/Copied|Ctrl/)?.[0]')
    assert said == ('Copied' if clipboard else 'Ctrl')
    assert shown.execute_script('return getSelection().toString()') == told
    assert shown.execute_script('return window.copied') == (told if clipboard else None)
    shown.find_element('css selector', '.clear').click()
    assert not panel.is_displayed() and not pressed()
