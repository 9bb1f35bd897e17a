/** The webview's entry: registers the elements and connects the app to the extension. */

import { TimelineApp } from './components/timeline-app.ts';
import { Host } from './host.ts';
import { registerToolkit } from './toolkit/elements.ts';

registerToolkit();

const app = document.querySelector('turntable-app');
if (app instanceof TimelineApp) app.attach(new Host());
