// Files on their way to the server, in the order in which they were added, with how far each is. A refusal stands at
// its file, in words.
import { answer, api, Problem, sentence } from './api';
import { holdUploaded } from './contents';
import { cleanName } from './fileName';
import type { Attached } from './message.svelte';
import { session } from './session.svelte';
import { bytes } from './time';
import { t, type Key } from './words';

/** Pasted text of this length becomes a file. */
export const LONG_PASTE = 8_000;

/** As the server has them: what cannot be taken is said before it is sent. */
const FILE_BYTES = 20 * 1024 * 1024;
const MESSAGE_FILES = 16;
/** The server reads four at once, of everybody. */
const AT_ONCE = 2;
/** Milliseconds without a byte, after which the way is taken for lost. */
const STALLED = 45_000;

export interface Upload {
  key: number;
  name: string;
  size: number;
  /** How much of it has left, of 1. */
  share: number;
  phase: 'queued' | 'underway' | 'stored' | 'failed';
  stored: Attached | null;
  problem: string | null;
  /** The same file may be taken another time. */
  canRetry: boolean;
}

const WORDS: Record<string, Key> = {
  file_too_large: 'file.tooLarge',
  file_empty: 'file.empty',
  file_quota: 'file.quota',
  unsupported_file_type: 'file.kind',
  too_many_uploads: 'file.busy',
  body_timeout: 'file.slow',
  offline: 'file.offline',
};
const FOR_GOOD = new Set(['file_too_large', 'file_empty', 'unsupported_file_type']);

export class Uploads {
  items = $state<Upload[]>([]);
  #next = 0;
  #sources = new Map<number, File>();
  #requests = new Map<number, XMLHttpRequest>();

  /** Those that a message can name. */
  get files(): Attached[] {
    return this.items.flatMap(({ stored }) => (stored ? [stored] : []));
  }

  /** Names of those that are not there yet. */
  get unfinished(): string[] {
    return this.items.filter(({ phase }) => phase === 'queued' || phase === 'underway').map(({ name }) => name);
  }

  get isBusy(): boolean {
    return this.unfinished.length > 0;
  }

  restore(files: Attached[] = [], lost: string[] = []) {
    const here = this.files.filter((mine) => !files.some(({ fileId }) => fileId === mine.fileId));
    this.show([...files, ...here]);
    const mine = new Set(this.unfinished);
    for (const name of lost.filter((name) => !mine.has(name)))
      this.items.push(this.#item(name, 0, { phase: 'failed', problem: t('file.lost'), canRetry: false }));
  }

  /** Exactly these, as another tab has them; what is on its way here stays. */
  show(files: Attached[]) {
    const mine = this.items.filter(({ stored }) => !stored);
    const known = (file: Attached) => this.items.find(({ stored }) => stored?.fileId === file.fileId);
    const item = (file: Attached) =>
      known(file) ?? this.#item(file.name, file.size, { phase: 'stored', stored: file, share: 1 });
    this.items = [...files.map(item), ...mine];
  }

  add(files: Iterable<File>) {
    for (const file of files) {
      const item = this.#item(cleanName(file.name), file.size);
      const places = this.items.filter(({ phase }) => phase !== 'failed').length;
      this.#sources.set(item.key, file);
      this.items.push(item);
      if (file.size > FILE_BYTES) this.#fail(item.key, new Problem('file_too_large', '', 413));
      else if (file.size === 0) this.#fail(item.key, new Problem('file_empty', '', 400));
      else if (places >= MESSAGE_FILES) this.#say(item.key, t('file.tooMany', { most: MESSAGE_FILES }), true);
    }
    this.#pump();
  }

  again(key: number) {
    const item = this.#find(key);
    if (!item || !this.#sources.has(key)) return;
    [item.phase, item.problem, item.share] = ['queued', null, 0];
    this.#pump();
  }

  /** Also stops one that is under way. */
  remove(key: number) {
    this.items = this.items.filter((item) => item.key !== key);
    this.#sources.delete(key);
    this.#requests.get(key)?.abort();
    this.#requests.delete(key);
    this.#pump();
  }

  /** Empties it, but for what failed and can be tried again: it was not sent. */
  taken(): Attached[] {
    const files = $state.snapshot(this.files);
    this.items = this.items.filter(({ phase, canRetry }) => phase === 'failed' && canRetry);
    return files;
  }

  /** Those that were removed at the server since they were attached. */
  async check() {
    for (const { key, stored } of this.items) {
      if (!stored) continue;
      try {
        await answer(api.GET('/api/files/{id}', { params: { path: { id: stored.fileId } } }));
      } catch (error) {
        if (!(error instanceof Problem) || error.status !== 404) continue;
        const item = this.#find(key);
        if (item) item.stored = null;
        this.#say(key, t('file.gone'), false);
      }
    }
  }

  #item(name: string, size: number, known: Partial<Upload> = {}): Upload {
    const key = (this.#next += 1);
    return { key, name, size, share: 0, phase: 'queued', stored: null, problem: null, canRetry: false, ...known };
  }

  #find(key: number): Upload | undefined {
    return this.items.find((item) => item.key === key);
  }

  #pump() {
    for (const { key, phase } of this.items) {
      if (this.#requests.size >= AT_ONCE) return;
      if (phase === 'queued') void this.#send(key);
    }
  }

  async #send(key: number) {
    const [item, file] = [this.#find(key), this.#sources.get(key)];
    if (!item || !file) return;
    item.phase = 'underway';
    const request = new XMLHttpRequest();
    this.#requests.set(key, request);
    try {
      const stored = await send(request, file, item.name, (share) => (item.share = share));
      holdUploaded(stored, file);
      [item.stored, item.phase, item.name] = [stored, 'stored', stored.name];
      this.#sources.delete(key);
    } catch (error) {
      this.#fail(key, error);
    }
    this.#requests.delete(key);
    this.#pump();
  }

  #fail(key: number, error: unknown) {
    const code = error instanceof Problem ? error.code : '';
    const word = WORDS[code];
    const size = this.#find(key)?.size ?? 0;
    const said = word ? t(word, { size: bytes(size), most: bytes(FILE_BYTES) }) : sentence(error);
    this.#say(key, said, !FOR_GOOD.has(code));
  }

  #say(key: number, problem: string, canRetry: boolean) {
    const item = this.#find(key);
    if (item) [item.phase, item.problem, item.canRetry] = ['failed', problem, canRetry];
  }
}

/** Per draft, so that files go on arriving while something else is looked at. */
const open = new Map<string, Uploads>();

export function uploadsOf(draft: string): Uploads {
  const uploads = open.get(draft) ?? new Uploads();
  open.set(draft, uploads);
  return uploads;
}

/** What was attached under one name goes on under another. */
export function moveUploads(from: string, to: string) {
  const uploads = open.get(from);
  if (!uploads) return;
  open.delete(from);
  open.set(to, uploads);
}

/** `fetch` does not say how much was sent: this does. */
function send(request: XMLHttpRequest, file: File, name: string, progress: (share: number) => void): Promise<Attached> {
  const lost = new Problem('offline', 'the server cannot be reached', 0);
  return new Promise<Attached>((resolve, reject) => {
    const giveUp = () => {
      reject(lost);
      request.abort();
    };
    let timer = setTimeout(giveUp, STALLED);
    const lives = () => {
      clearTimeout(timer);
      timer = setTimeout(giveUp, STALLED);
    };
    request.open('POST', `/api/files?name=${encodeURIComponent(name)}`);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.setRequestHeader('X-Profile', session.profile);
    request.responseType = 'json';
    request.upload.onprogress = ({ loaded, total }) => {
      lives();
      progress(total > 0 ? loaded / total : 0);
    };
    request.onerror = () => reject(lost);
    request.onabort = () => reject(lost);
    request.onloadend = () => {
      clearTimeout(timer);
      removeEventListener('offline', giveUp);
    };
    request.onload = () => {
      const said = request.response as ({ id?: string; code?: string; detail?: string } & Attached) | null;
      const { status } = request;
      if (status === 201 && said?.id) {
        const { id: fileId, name: kept, mediaType, size } = said;
        return resolve({ fileId, name: kept, mediaType, size });
      }
      // The session is over: the next request says so to everybody.
      if (status === 401) void api.GET('/api/me').catch(() => {});
      const code = status >= 502 ? 'offline' : (said?.code ?? 'unknown');
      reject(new Problem(code, said?.detail ?? `the server answered ${status}`, status));
    };
    addEventListener('offline', giveUp);
    request.send(file);
  });
}
