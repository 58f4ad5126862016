// What the command box offers for what is typed: chats, settings, commands, and messages that the server finds.
import { answer, api, type Schemas } from './api';
import { bindings } from './bindings.svelte';
import { chatName } from './chatName';
import { box, here, ordersSaying, type Context } from './commands.svelte';
import { desk } from './desk.svelte';
import { matches } from './matching';
import { router } from './router.svelte';
import { hitAddress, searchAddress } from './searching.svelte';
import { profileName, session } from './session.svelte';
import type { Thread } from './shelf.svelte';
import { t, type Key } from './words';

export interface Line {
  id: string;
  group: Key;
  text: string;
  pieces?: Schemas['PieceView'][];
  hint: string;
  act: () => void;
}

/** The server is asked when the typing pauses. */
const PAUSE = 150;
const HITS = 8;
const CHATS = 6;

const SETTINGS: [string, Key][] = [
  ['models', 'set.nav.models'],
  ['servers', 'set.nav.servers'],
  ['devices', 'set.nav.devices'],
  ['profile', 'set.nav.profile'],
  ['appearance', 'set.nav.appearance'],
  ['data', 'set.nav.data'],
];

function chatLine(thread: Thread, group: Key): Line {
  return {
    id: `t-${thread.id}`,
    group,
    text: chatName(thread),
    hint: thread.archived ? t('chats.archive') : (thread.folder ?? ''),
    act: () => router.go(`/chat/${thread.id}`),
  };
}

export class BoxLines {
  hits = $state.raw<Schemas['HitView'][]>([]);
  /** Chats whose title holds the words, also those that no list was read down to. */
  titled = $state.raw<Thread[]>([]);
  busy = $state(false);
  failure = $state.raw<unknown>(null);
  #turn = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Asks the server; an answer to what is no more asked for is dropped. */
  ask(typed: string, pause = PAUSE) {
    const q = typed.trim();
    const turn = (this.#turn += 1);
    clearTimeout(this.#timer);
    this.failure = null;
    this.busy = q.length > 1;
    if (!this.busy) [this.hits, this.titled] = [[], []];
    else this.#timer = setTimeout(() => void this.#read(q, turn), pause);
  }

  async #read(q: string, turn: number) {
    try {
      const [hits, titled] = await Promise.all([
        answer(api.GET('/api/search', { params: { query: { q, limit: HITS } } })),
        answer(api.GET('/api/threads', { params: { query: { q, archived: 'all', limit: CHATS } } })),
      ]);
      if (turn === this.#turn) [this.hits, this.titled] = [hits.items, titled.items];
    } catch (error) {
      if (turn !== this.#turn) return;
      [this.hits, this.titled] = [[], []];
      this.failure = error;
    } finally {
      if (turn === this.#turn) this.busy = false;
    }
  }

  lines(): Line[] {
    const typed = box.typed.trim();
    const fits = (words: string[]) => typed === '' || matches(typed, words);
    const context = here();
    const chats = this.#chats(fits);
    const orders = this.#orders(fits, context);
    if (typed === '') return [...chats, ...orders];
    // What the server found stands behind what was there at once: no line moves away under the one that is chosen.
    const shown = new Set(chats.map((line) => line.id));
    const more = this.titled.map((thread) => chatLine(thread, 'box.moreChats')).filter((line) => !shown.has(line.id));
    return [...chats, ...this.#settings(fits), ...orders, ...more, ...this.#messages(typed)];
  }

  #chats(fits: (words: string[]) => boolean): Line[] {
    const { chats, archive } = desk.threads.shelves;
    const all = [...chats.items, ...archive.items];
    const found = all.filter((thread) => fits([chatName(thread)])).slice(0, CHATS);
    return found.map((thread) => chatLine(thread, 'box.chats'));
  }

  #settings(fits: (words: string[]) => boolean): Line[] {
    const found = SETTINGS.filter(([, word]) => fits([t('nav.settings'), t(word)]));
    return found.map(([id, word]) => ({
      id: `s-${id}`,
      group: 'nav.settings',
      text: t(word),
      hint: '',
      act: () => router.go(`/settings/${id}`),
    }));
  }

  #orders(fits: (words: string[]) => boolean, context: Context): Line[] {
    const orders = ordersSaying(fits, context).filter((order) => order.name !== 'find');
    const lines = orders.map((order): Line => ({
      id: `o-${order.name}`,
      group: 'box.orders',
      text: t(order.word),
      hint: order.keys ? bindings.text(order.keys) : '',
      act: () => order.act(context, ''),
    }));
    for (const profile of session.profiles.filter((other) => !other.isCurrent)) {
      const text = t('nav.switch', { name: profileName(profile) });
      if (fits([text]))
        lines.push({
          id: `p-${profile.name}`,
          group: 'box.orders',
          text,
          hint: '',
          act: () => session.switchTo(profile.name),
        });
    }
    return lines;
  }

  #messages(typed: string): Line[] {
    const lines = this.hits.map((hit): Line => ({
      id: `m-${hit.messageId}`,
      group: 'box.messages',
      text: '',
      pieces: hit.snippet,
      hint: chatName({ title: hit.threadTitle, said: hit.said }),
      act: () => router.go(hitAddress(hit, typed)),
    }));
    const act = () => router.go(searchAddress(typed));
    if (typed.length > 1)
      lines.push({ id: 'all', group: 'box.messages', text: t('box.all', { words: typed }), hint: '', act });
    return lines;
  }
}
