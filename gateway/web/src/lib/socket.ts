// The one WebSocket of a page: opened with a ticket, opened again after every end, with what is known resumed first.
// What the frames mean is for others to say.
import type { ClientFrame, ServerFrame } from '../wire/frames';
import { answer, api, Problem } from './api';

export type Link = 'connecting' | 'open' | 'waiting' | 'closed';

/** Milliseconds to wait after failures, the last for all further ones. */
const PAUSES = [250, 500, 1_000, 2_000, 5_000, 10_000];
/** Milliseconds out of sight after which a connection is not trusted. */
const SLEEP = 30_000;
/** Milliseconds without a word, after which it is asked whether anybody is there, and how long the answer may take. */
const SILENCE = 20_000;
const PATIENCE = 8_000;
const NOT_AGAIN = new Set([1002, 4001, 4002, 4009]);

export interface Listener {
  /** Per thread the last number that is known. */
  known(): Record<string, number>;
  /** Returns when it is sure for whom a connection is. */
  sure(): Promise<void>;
  frame(frame: ServerFrame): void;
  /** The socket is open and what was known is asked for. */
  opened(): void;
  link(link: Link, code?: number): void;
}

export class Socket {
  #listener: Listener;
  #socket: WebSocket | null = null;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #ended = true;
  #hiddenAt: number | null = null;
  /** Attempts are told apart, so that one that comes late changes nothing. */
  #attempt = 0;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  start() {
    this.#ended = false;
    addEventListener('online', this.#now);
    addEventListener('offline', this.#lost);
    document.addEventListener('visibilitychange', this.#now);
    void this.#connect();
  }

  stop() {
    this.#ended = true;
    removeEventListener('online', this.#now);
    removeEventListener('offline', this.#lost);
    document.removeEventListener('visibilitychange', this.#now);
    this.#drop();
    this.#listener.link('closed');
  }

  /** False when there is no connection: nothing was sent. */
  send(frame: ClientFrame): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #now = () => {
    if (document.visibilityState === 'hidden') {
      this.#hiddenAt ??= Date.now();
      return;
    }
    // A device that slept may hold a socket that nobody is at the other end of.
    const slept = this.#hiddenAt !== null && Date.now() - this.#hiddenAt > SLEEP;
    this.#hiddenAt = null;
    if (!this.#socket || slept) this.renew();
  };

  /** Connects anew, at once: the connection that there is does not answer. */
  renew() {
    if (this.#ended) return;
    this.#failures = 0;
    void this.#connect();
  }

  /** The network went away: a socket may take minutes to notice. */
  #lost = () => {
    if (this.#ended) return;
    this.#drop();
    this.#again();
  };

  #drop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#attempt += 1;
    this.#socket?.close();
    this.#socket = null;
  }

  async #connect() {
    this.#drop();
    const attempt = this.#attempt;
    this.#listener.link('connecting');
    let ticket: string;
    try {
      await this.#listener.sure();
      if (attempt !== this.#attempt || this.#ended) return;
      ticket = (await answer(api.POST('/api/ticket'))).ticket;
    } catch (error) {
      if (attempt !== this.#attempt || this.#ended) return;
      if (error instanceof Problem && error.status === 401) return this.stop();
      return this.#again();
    }
    if (attempt !== this.#attempt || this.#ended) return;
    const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/ws?ticket=${ticket}`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#failures = 0;
      this.#heard();
      const threads = this.#listener.known();
      if (Object.keys(threads).length > 0) this.send({ type: 'resume', threads });
      this.#listener.link('open');
      this.#listener.opened();
    };
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      this.#heard();
      this.#listener.frame(JSON.parse(String(data)) as ServerFrame);
    };
    socket.onclose = ({ code }) => {
      if (socket !== this.#socket) return;
      this.#socket = null;
      if (NOT_AGAIN.has(code)) {
        this.#ended = true;
        return this.#listener.link('closed', code);
      }
      this.#again();
    };
  }

  /** A way that is gone may stay open for minutes: after a silence there must be an answer. */
  #heard() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      // Nobody looks; whoever comes back after a while connects anew.
      if (document.visibilityState === 'hidden') return this.#heard();
      this.send({ type: 'ping' });
      this.#silence = setTimeout(() => this.renew(), PATIENCE);
    }, SILENCE);
  }

  #again() {
    this.#listener.link('waiting');
    const pause = PAUSES[Math.min(this.#failures, PAUSES.length - 1)] ?? 0;
    this.#failures += 1;
    this.#timer = setTimeout(() => void this.#connect(), pause);
  }
}
