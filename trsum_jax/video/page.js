
'use strict';
// Inside the shot's first frame: a clock that rounds must not show the end of the shot before.
const INSIDE = 0.01;
const video = document.querySelector('video');
const chart = document.querySelector('.chart');
const cursor = document.querySelector('.cursor');
const line = document.querySelector('.place');
const last = video.querySelector('source:last-of-type');
const source = last.getAttribute('src');
const duration = Number(chart.dataset.duration);
const shots = [...document.querySelectorAll('li[data-shot]')].map(({dataset}) => ({
  number: dataset.shot,
  place: Number(dataset.place),
  start: Number(dataset.start),
  length: Number(dataset.length),
}));
let current;

const clock = (seconds) => {
  const tenths = Math.round(10 * seconds);
  const [hours, minutes] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60];
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, '0');
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
};

const draw = () => {
  const shot = shots.findLast(({place}) => place <= video.currentTime) ?? shots[0];
  const time = shot.start + Math.min(video.currentTime - shot.place, shot.length);
  for (const end of ['x1', 'x2']) cursor.setAttribute(end, `${100 * time / duration}%`);
  line.textContent = `Shot ${shot.number}, ${clock(time)} in the video`;
  if (shot === current) return;
  current = shot;
  for (const old of document.querySelectorAll('[aria-current]')) old.removeAttribute('aria-current');
  for (const now of document.querySelectorAll(`[data-shot="${shot.number}"]`)) now.setAttribute('aria-current', 'true');
};

const follow = () => {
  draw();
  if (!video.paused && !video.ended) requestAnimationFrame(follow);
};

const jump = (seconds) => {
  video.currentTime = seconds + INSIDE;
  video.scrollIntoView({block: 'nearest'});
};

// What people have kept and dropped before, and would now: by number of the shot.
const given = new Map(
  [...document.querySelectorAll('[data-given]')].map(({dataset}) => [Number(dataset.of), dataset.given]),
);
const marks = new Map();
const panel = document.querySelector('.recut');
const command = document.querySelector('#command');
const told = document.querySelector('.told');

// 3, 5, 6, 7 as 3,5-7.
const ranges = (numbers, dash) => {
  const runs = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run && run[1] === number - 1) run[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([from, to]) => (from === to ? from : `${from}${dash}${to}`));
};

const tell = () => {
  const words = [];
  command.value = command.dataset.command;
  for (const mark of ['keep', 'drop']) {
    const numbers = [...marks.keys()].filter((number) => marks.get(number) === mark).sort((a, b) => a - b);
    if (!numbers.length) continue;
    command.value += ` --${mark}=${ranges(numbers, '-').join(',')}`;
    words.push(`${mark} ${ranges(numbers, '–').join(', ')}`);
  }
  panel.hidden = !marks.size;
  told.textContent = marks.size ? `Your changes: ${words.join('; ')}. The rest is chosen anew.` : '';
};

const mark = (number, kind) => {
  if (kind === given.get(number)) marks.delete(number);
  else marks.set(number, kind);
  for (const place of document.querySelectorAll(`[data-of="${number}"]`)) {
    if (kind) place.dataset.marked = kind;
    else delete place.dataset.marked;
    for (const button of place.querySelectorAll('[data-mark]')) {
      button.setAttribute('aria-pressed', button.dataset.mark === kind);
    }
  }
};

for (const [number, kind] of given) mark(number, kind);

// From a file some browsers give no clipboard; then the text is there to be copied by hand.
const copy = async () => {
  command.focus();
  command.select();
  let copied = false;
  try {
    await navigator.clipboard.writeText(command.value);
    copied = true;
  } catch {
    copied = document.execCommand('copy');
  }
  told.textContent = copied ? 'Copied.' : 'The command is selected: copy it with Ctrl+C or ⌘C.';
};

document.addEventListener('click', ({target}) => {
  const button = target.closest('[data-mark]');
  if (button) {
    const number = Number(button.closest('[data-of]').dataset.of);
    const now = marks.get(number) ?? given.get(number);
    mark(number, now === button.dataset.mark ? given.get(number) : button.dataset.mark);
    tell();
    return;
  }
  const number = target.closest('[data-shot]')?.dataset.shot;
  if (number) jump(shots.find((shot) => shot.number === number).place);
});

panel?.querySelector('.copy').addEventListener('click', copy);
panel?.querySelector('.clear').addEventListener('click', () => {
  for (const number of [...marks.keys()]) mark(number, given.get(number));
  tell();
  document.querySelector('#only').focus();
});

// To where the click points, or the nearest moment that the summary holds.
chart.addEventListener('click', ({clientX}) => {
  const box = chart.getBoundingClientRect();
  const time = (clientX - box.left) / box.width * duration;
  const moments = shots.map(({place, start, length}) => {
    const nearest = Math.min(Math.max(time, start), start + length - 2 * INSIDE);
    return {place: place + nearest - start, away: Math.abs(nearest - time)};
  });
  jump(moments.reduce((best, moment) => (moment.away < best.away ? moment : best)).place);
});

// Some browsers limit the length of a data URI; from memory the same film has no limit.
let unpacked = false;
const unpack = () => {
  if (unpacked || !source.startsWith('data:')) return;
  unpacked = true;
  const comma = source.indexOf(',');
  const text = atob(source.slice(comma + 1));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  video.src = URL.createObjectURL(new Blob([bytes], {type: source.slice(5, source.indexOf(';'))}));
};
// Whether the film itself plays, or the copy that the page holds, if any.
const say = (alone) => {
  for (const note of document.querySelectorAll('[data-when]')) note.hidden = (note.dataset.when === 'alone') !== alone;
};
const fail = () => {
  say(true);
  unpack();
};
// Errors of sources do not bubble; they may have come before this script.
video.addEventListener('error', ({target}) => (target === last || target === video) && fail(), true);
window.addEventListener('load', () => video.networkState === HTMLMediaElement.NETWORK_NO_SOURCE && fail());
video.addEventListener('loadedmetadata', () => say(/^(data|blob):/.test(video.currentSrc)));

video.addEventListener('play', follow);
for (const event of ['loadedmetadata', 'seeking', 'timeupdate']) video.addEventListener(event, draw);
draw();
