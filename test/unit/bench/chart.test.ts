import assert from 'node:assert/strict';
import { test } from 'node:test';
import { panels } from '../../../host-helper/bench/chart-panels.ts';
import { drawChart } from '../../../host-helper/bench/chart.ts';
import { withTable } from '../../../host-helper/bench/publish.ts';
import { markdownSummary, plainRows } from '../../../host-helper/bench/report.ts';
import { mainFigures, percentAdded } from '../../../host-helper/bench/summary.ts';
import { completeFigures } from './figures.ts';

test('the chart shows a panel for every group of figures that was measured', () => {
  const titles = panels(completeFigures).map((panel) => panel.title);
  assert.deepEqual(titles, [
    'What comes back',
    'What is left out',
    'Keeping a change of three files',
    'What watching costs',
    'What it adds to a task',
  ]);
  assert.deepEqual(
    panels({ recovery: completeFigures.recovery }).map((panel) => panel.title),
    ['What comes back'],
  );
});

test('a longer bar stands for a larger value, also on the logarithmic scale', () => {
  const svg = drawChart({ files: completeFigures.files }, 'light');
  const ours = [...svg.matchAll(/width="([\d.]+)" height="12" rx="2" fill="#0a66c2"/g)].map((match) =>
    Number(match[1]),
  );
  const peers = [...svg.matchAll(/width="([\d.]+)" height="12" rx="2" fill="#9aa4b1"/g)].map((match) =>
    Number(match[1]),
  );
  assert.equal(ours.length, 3);
  assert.equal(peers.length, 3);
  assert.ok(ours[0]! < ours[2]! && ours[2]! < peers[0]! && peers[0]! < peers[2]!, `${ours} ${peers}`);
});

test('the picture is well-formed, says in words what it shows, and differs by theme only in colour', () => {
  const light = drawChart(
    { ...completeFigures, details: { peers: { peers: [{ name: 'a < b & c', turnMs: 1, bytes: 5 }] } } },
    'light',
  );
  const dark = drawChart(completeFigures, 'dark');
  assert.match(light, /a &lt; b &amp; c/);
  assert.match(light, /<desc id="description">[^<]*shadow git, 250k: 2.1 s/);
  const shape = (svg: string): string => svg.replace(/#[0-9a-f]{6}/g, '#');
  assert.equal(shape(dark), shape(drawChart(completeFigures, 'light')));
  assert.notEqual(dark, drawChart(completeFigures, 'light'));
});

test('what is added reads as a share of what it is added to, however large it is', () => {
  assert.equal(percentAdded(0.02), '2.0 %');
  assert.equal(percentAdded(1.057), '105.7 %');
  assert.equal(percentAdded(-0.005), '-0.5 %');
});

test('overhead is a ratio, added time and what was recognised are shares', () => {
  const values = mainFigures(completeFigures).map(({ value }) => value);
  assert.ok(values.includes('1.2 %, 1.8 %, 0.1 %, 0.4 %, -0.2 %'), 'overhead inside');
  assert.ok(values.includes('0.6 %'), 'overhead outside');
  assert.ok(values.includes('0.8 %; 0.1 %'), 'time added, scaled and reckoned');
  assert.ok(values.includes('0.6 %; 0.3 %'), 'time added to many');
  assert.ok(values.includes('98 %'), 'recognised');
  const seen = panels(completeFigures).flatMap(({ bars }) => bars);
  assert.equal(seen.find(({ label }) => label === 'nothing-turns seen')?.value, 0.98);
});

test('the chart shows how many turns needed no checkpoint', () => {
  const bars = panels(completeFigures).flatMap((panel) => panel.bars);
  assert.deepEqual(
    bars.filter(({ label }) => label === 'turns skipped').map(({ shown }) => shown),
    ['75 %'],
  );
});

test('each bar has the aim of its own figure', () => {
  const aims = Object.fromEntries(
    panels(completeFigures).flatMap(({ bars }) => bars.map(({ label, aim }) => [label, aim])),
  );
  assert.equal(aims['git clone'], 0.02);
  assert.equal(aims['outside a sandbox'], 0.01);
  assert.equal(aims['one session, × 0.05'], 0.019);
  assert.equal(aims['32 at once, × 0.5'], 0.01);
  const marks = drawChart(completeFigures, 'light').match(/<line /g) ?? [];
  assert.equal(marks.length, Object.values(aims).filter((aim) => aim !== undefined).length);
});

test('the README’s table is replaced between its markers and nothing else is', () => {
  const begin = '<!-- bench: begin; made by `npm run bench -- --chart` -->';
  const readme = `before\n${begin}\nold\n<!-- bench: end -->\nafter\n`;
  const table = markdownSummary(completeFigures);
  assert.equal(withTable(readme, table), `before\n${begin}\n${table}\n<!-- bench: end -->\nafter\n`);
  assert.throws(() => withTable('no markers', table), /has no lines/);
});

test('figures without a table of their own are listed with their paths', () => {
  assert.deepEqual(plainRows({ a: { b: 1, c: ['x'] }, d: 'two' }), [
    ['a.b', 1],
    ['d', 'two'],
  ]);
});

test('time added is shown once where the model was as slow as real ones, and also as reckoned where it was not', () => {
  const labels = (thinkScale: number): string[] =>
    panels({ time: { ...completeFigures.time, thinkScale } }).flatMap((panel) =>
      panel.bars.map(({ label }) => label),
    );
  assert.deepEqual(labels(1), ['one session']);
  assert.deepEqual(labels(0.05), ['one session, × 0.05', 'one session, × 1']);
});
