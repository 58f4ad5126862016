// Everything that is kept of a person, as a file.
import { api } from './api';
import { fileName } from './fileName';

/** Hands over everything as one file. */
export async function exportAll(): Promise<void> {
  const { data, response } = await api.GET('/api/me/export', { parseAs: 'blob' });
  const name = fileName(response.headers.get('Content-Disposition')) ?? 'adjutant-export';
  const url = URL.createObjectURL(data as Blob);
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
