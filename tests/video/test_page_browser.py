"""The page in a real browser: headless Chromium, where it is installed."""

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


def test_it_shows(shown):
    assert shown.title == 'Summary of ' + pages.HOSTILE.replace('\u202e', '\\u202e')
    visible = [
        element.is_displayed() for element in shown.find_elements('css selector', 'svg.chart, h1, video')
    ]
    assert visible == [True] * 3
    assert len(shown.find_elements('css selector', 'tbody tr')) == pages.N_SHOTS
    loaded = 'return [...document.images].every((image) => image.complete && image.naturalWidth === 320)'
    assert shown.execute_script(loaded)
    shown.find_element('css selector', '#only').click()
    rows = shown.find_elements('css selector', 'tbody tr')
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
            target = shown.find_elements('css selector', '.frames button')[i]
        else:
            target = shown.find_element('css selector', f'tr[data-shot="{shot + 1}"] {how[4:] or "th"}')
        if how == 'Enter':
            target.send_keys('\ue007')
        else:
            target.click()
        waited(
            shown,
            f'!video.seeking && video.currentTime !== {before} && Math.abs(video.currentTime - {i}) < 0.1',
        )
        assert np.abs(colour(shown) - scene(shot, height=90, width=160).mean((0, 1))).max() < 8


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
def test_narrow_screen(shown, scheme):
    feature = {'name': 'prefers-color-scheme', 'value': scheme}
    shown.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': [feature]})
    size = {'width': 360, 'height': 740, 'deviceScaleFactor': 2, 'mobile': True}
    shown.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
    try:
        assert shown.execute_script('return innerWidth') == 360
        assert shown.execute_script('return document.documentElement.scrollWidth') == 360
        ground = shown.execute_script('return getComputedStyle(document.body).backgroundColor')
        levels = [int(level) for level in re.findall(r'\d+', ground)]
        assert max(levels) < 60 if scheme == 'dark' else min(levels) > 200
    finally:
        shown.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})
        shown.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': []})


def test_a_film_beside_plays_too(browser, made, tmp_path):
    film = tmp_path / 'a #1 100%?.mp4'
    shutil.copy(made.film, film)
    page.write_page(made.summary, film, tmp_path / 'page.html', embedded=0)
    for _ in opened(browser, tmp_path / 'page.html'):
        assert browser.execute_script('return document.querySelector("video").duration') == pytest.approx(
            4, abs=0.1
        )
