// The models that may be asked here: what they can take, what they cost, how much they read at once.
import { answer, api, type Schemas } from './api';
import { session } from './session.svelte';
import { Source } from './source.svelte';
import { money } from './time';
import { t } from './words';

export type Model = Schemas['ModelView'];

export const models = new Source(async () => (await answer(api.GET('/api/models'))).items);

/** Reads them anew where the order or the keys changed. */
let known = '';
export function wantModels() {
  const usable = (session.me?.models.usable ?? []).join(' ');
  if (usable === known && (models.value !== null || models.isUnderway)) return;
  known = usable;
  void models.load();
}

export function modelOf(name: string): Model | undefined {
  return models.value?.find((model) => model.name === name);
}

/** `$2.00 read, $8.00 written`, of a million tokens. */
export function price({ inputPrice, outputPrice }: Model): string {
  if (!inputPrice && !outputPrice) return t('models.noPrice');
  const of = (cost: Schemas['Cost'] | null | undefined) => (cost ? money(cost.micros, cost.currency) : '?');
  return t('models.price', { in: of(inputPrice), out: of(outputPrice) });
}

const short = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });

export const tokens = (count: number) => short.format(count);

/** What it takes besides text, and how much at once. */
export function capability(model: Model): string {
  const takes =
    model.images && model.documents
      ? 'models.both'
      : model.images
        ? 'models.images'
        : model.documents
          ? 'models.pdf'
          : 'models.text';
  const window = model.contextTokens ? t('models.window', { count: tokens(model.contextTokens) }) : '';
  return [t(takes), window].filter(Boolean).join(' · ');
}
