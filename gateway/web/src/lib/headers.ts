// Which stored credential fills which header of a server.

export interface HeaderRow {
  service: string;
  header: string;
  scheme: string;
}

/** As they can be changed. */
export function read(headers: readonly { service: string; header: string; scheme?: string | null }[]): HeaderRow[] {
  return headers.map(({ service, header, scheme }) => ({ service, header, scheme: scheme ?? '' }));
}

/** As the server wants them: rows without a header are left out. */
export function written(rows: HeaderRow[]): Record<string, never>[] {
  const said = rows
    .filter((row) => row.header.trim() !== '')
    .map((row) => ({
      ...(row.service.trim() && { service: row.service.trim() }),
      header: row.header.trim(),
      scheme: row.scheme.trim(),
    }));
  return said as unknown as Record<string, never>[];
}
