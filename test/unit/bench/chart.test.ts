import assert from 'node:assert/strict';
import { test } from 'node:test';
import { panels } from '../../../host-helper/bench/chart-panels.ts';
import { drawChart } from '../../../host-helper/bench/chart.ts';
import { withTable } from '../../../host-helper/bench/publish.ts';
import { markdownSummary, plainRows } from '../../../host-helper/bench/report.ts';
import { percentAdded } from '../../../host-helper/bench/summary.ts';
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

test('an added share reads the same whether it is kept as a ratio or as a share', () => {
  assert.equal(percentAdded(1.02), '2.0 %');
  assert.equal(percentAdded(0.02), '2.0 %');
  assert.equal(percentAdded(0.995), '-0.5 %');
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
