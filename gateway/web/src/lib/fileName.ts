// What the server calls a file that it hands over.

/** The name in `Content-Disposition`. */
export function fileName(disposition: string | null): string | null {
  const found = /filename="([^"]+)"|filename=([^;]+)/.exec(disposition ?? '');
  return (found?.[1] ?? found?.[2])?.trim() ?? null;
}
