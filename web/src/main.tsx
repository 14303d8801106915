import 'uplot/dist/uPlot.min.css';
import './style.css';
import { effect } from '@preact/signals';
import { render } from 'preact';
import { App } from './app';
import { startClock } from './clock';
import { startHub } from './hub';
import { locale } from './i18n';
import { startInstall } from './install';
import { startRouter } from './router';
import { startTheme } from './theme';

startTheme();
startRouter();
startClock();
startInstall();
effect(() => {
  document.documentElement.lang = locale.value;
});
void startHub();
render(<App />, document.getElementById('app')!);
