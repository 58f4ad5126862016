// What stands in files: read once with the person's own profile named, which a plain address in a page cannot do.
import { answer, api } from './api';
import { safeName } from './fileName';
import type { Attached } from './message.svelte';

/** Bytes that are kept at hand, the newest. */
const ROOM = 48_000_000;

const held = new Map<string, Blob>();

function hold(fileId: string, content: Blob) {
  held.delete(fileId);
  held.set(fileId, content);
  let bytes = 0;
  for (const [id, blob] of [...held].reverse()) {
    bytes += blob.size;
    if (bytes > ROOM && id !== fileId) held.delete(id);
  }
}

/** What was just uploaded from here needs not be read from there. */
export function holdUploaded(file: Attached, content: Blob) {
  // As the server says what it is, not as somebody named it.
  hold(file.fileId, content.slice(0, content.size, file.mediaType));
}

export async function contentOf(file: Attached): Promise<Blob> {
  const known = held.get(file.fileId);
  if (known) return known;
  const path = { id: file.fileId };
  const content = (await answer(
    api.GET('/api/files/{id}/content', { params: { path }, parseAs: 'blob' }),
  )) as unknown as Blob;
  hold(file.fileId, content);
  return content;
}

/** Hands a file over under a safe name. Its address names bytes and no more: opened by hand, it shows nothing. */
export async function download(file: Attached) {
  const content = await contentOf(file);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], { type: 'application/octet-stream' }));
  link.download = safeName(file.name);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export const isImage = (file: Attached) => /^image\/(png|jpeg|gif|webp)$/.test(file.mediaType);
export const isText = (file: Attached) => /^text\/|^application\/json$/.test(file.mediaType);
