// Everything that is kept of a person: as a file, and gone.
import { fileName } from './fileName';
import { ask, isMissing } from './plain';

/** Hands over everything as one file. False where this server cannot. */
export async function exportAll(): Promise<boolean> {
  let response: Response;
  try {
    response = await ask('GET', '/api/me/export');
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
  const name = fileName(response.headers.get('Content-Disposition')) ?? 'adjutant-export';
  const url = URL.createObjectURL(await response.blob());
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return true;
}

/** The person with all that belongs to them. False where this server cannot. */
export async function deleteMe(user: string): Promise<boolean> {
  try {
    await ask('DELETE', '/api/me', { confirm: user });
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
