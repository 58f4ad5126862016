// Files on their way to the server, with how far they are. A refusal names the file.
import { Problem, sentence } from './api';
import type { Attached } from './message.svelte';
import { session } from './session.svelte';
import { t } from './words';

/** Pasted text of this length becomes a file. */
export const LONG_PASTE = 8_000;

export interface Upload {
  id: number;
  name: string;
  share: number;
  problem: string | null;
}

export class Uploads {
  files = $state<Attached[]>([]);
  underway = $state<Upload[]>([]);
  #next = 0;

  constructor(files: Attached[] = []) {
    this.files = [...files];
  }

  get isBusy(): boolean {
    return this.underway.some((upload) => upload.problem === null);
  }

  async add(file: File) {
    const id = (this.#next += 1);
    this.underway.push({ id, name: file.name, share: 0, problem: null });
    const upload = this.underway.find((other) => other.id === id);
    try {
      const stored = await send(file, (share) => upload && (upload.share = share));
      this.files.push(stored);
      this.drop(id);
    } catch (error) {
      if (upload) upload.problem = t('file.failed', { name: file.name, why: sentence(error) });
    }
  }

  drop(id: number) {
    this.underway = this.underway.filter((upload) => upload.id !== id);
  }

  remove(fileId: string) {
    this.files = this.files.filter((file) => file.fileId !== fileId);
  }
}

/** `fetch` does not say how much was sent: this does. */
function send(file: File, progress: (share: number) => void): Promise<Attached> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', `/api/files?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.setRequestHeader('X-Profile', session.profile);
    request.responseType = 'json';
    request.upload.onprogress = ({ loaded, total }) => progress(total > 0 ? loaded / total : 0);
    request.onerror = () => reject(new Problem('offline', 'the server cannot be reached', 0));
    request.onload = () => {
      const said = request.response as { id: string; code?: string; detail?: string } & Omit<Attached, 'fileId'>;
      if (request.status === 201) {
        const { id: fileId, name, mediaType, size } = said;
        resolve({ fileId, name, mediaType, size });
      } else {
        reject(
          new Problem(said?.code ?? 'unknown', said?.detail ?? `the server answered ${request.status}`, request.status),
        );
      }
    };
    request.send(file);
  });
}
