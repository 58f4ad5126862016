// The form of a tool's question: what its fields begin with, what is wrong with what was typed, and what is sent.
import type { Field } from '../wire/frames';
import { t } from './words';

export type Values = Record<string, unknown>;

/** More choices than that are a list to pick from. */
export const FEW = 6;

export function beginning(fields: readonly Field[]): Values {
  return Object.fromEntries(fields.map((field) => [field.name, startOf(field)]));
}

function startOf(field: Field): unknown {
  const given = field.default;
  if (field.kind === 'boolean') return given === true;
  if (field.kind === 'choice' && field.multiple) return Array.isArray(given) ? given.map(String) : [];
  return given === undefined || given === null ? '' : String(given);
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
}

/** What is wrong with the answer to one field, as a sentence; null where it fits. */
export function wrongWith(field: Field, value: unknown): string | null {
  if (field.kind === 'boolean') return null;
  if (isEmpty(value)) return field.required ? t(field.kind === 'choice' ? 'form.choose' : 'form.missing') : null;
  if (field.kind === 'text') return wrongText(field, String(value));
  if (field.kind === 'choice') return null;
  const number = Number(value);
  if (!Number.isFinite(number)) return t('form.number');
  if (field.kind === 'integer' && !Number.isInteger(number)) return t('form.whole');
  if (typeof field.minimum === 'number' && number < field.minimum) return t('form.least', { least: field.minimum });
  if (typeof field.maximum === 'number' && number > field.maximum) return t('form.most', { most: field.maximum });
  return null;
}

function wrongText(field: Extract<Field, { kind: 'text' }>, text: string): string | null {
  const length = [...text].length;
  if (field.minLength && length < field.minLength) return t('form.short', { count: field.minLength });
  if (field.maxLength && length > field.maxLength) return t('form.long', { count: field.maxLength });
  if (field.format === 'email' && !/^[^\s@]+@[^\s@]+$/.test(text)) return t('form.email');
  if (field.format === 'uri' && !URL.canParse(text)) return t('form.uri');
  return null;
}

/** What is sent: nothing of what was left empty, numbers as numbers, moments with their zone. */
export function filled(fields: readonly Field[], values: Values): Values {
  const said: Values = {};
  for (const field of fields) {
    const value = values[field.name];
    if (isEmpty(value)) continue;
    const isNumber = field.kind === 'number' || field.kind === 'integer';
    const isMoment = field.kind === 'text' && field.format === 'date-time';
    said[field.name] = isNumber ? Number(value) : isMoment ? new Date(String(value)).toISOString() : value;
  }
  return said;
}
