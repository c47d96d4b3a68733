
'use strict';
// Inside the shot's first frame: a clock that rounds must not show the end of the shot before.
const INSIDE = 0.01;
const video = document.querySelector('video');
const chart = document.querySelector('.chart');
const cursor = document.querySelector('.cursor');
const line = document.querySelector('.place');
const source = video.getAttribute('src');
const duration = Number(chart.dataset.duration);
const shots = [...document.querySelectorAll('tr[data-shot]')].map(({dataset}) => ({
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

document.addEventListener('click', ({target}) => {
  const number = target.closest('[data-shot]')?.dataset.shot;
  if (number) jump(shots.find((shot) => shot.number === number).place);
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
const unpack = () => {
  if (!source.startsWith('data:')) return;
  const text = atob(source.slice(source.indexOf(',') + 1));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  video.src = URL.createObjectURL(new Blob([bytes], {type: 'video/mp4'}));
};
if (video.error) unpack();
else video.addEventListener('error', unpack, {once: true});

video.addEventListener('play', follow);
for (const event of ['loadedmetadata', 'seeking', 'timeupdate']) video.addEventListener(event, draw);
draw();
