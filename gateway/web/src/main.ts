import { mount } from 'svelte';
import App from './App.svelte';
import './styles/tokens.css';
import './styles/components.css';
import './styles/more.css';
import './styles/frame.css';
import './styles/finding.css';
import { catchStrayFiles } from './lib/drops';
import { watchKeyboard } from './lib/keyboard';
import { applyTheme } from './lib/theme';
import { watchForUpdates } from './lib/updates.svelte';

applyTheme();
catchStrayFiles();
watchKeyboard();
watchForUpdates();
mount(App, { target: document.body });
