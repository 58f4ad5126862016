// The texts of a profile while they are written. What is not saved is kept in this browser, also over a reload.
import { draftOf, forgetDraft, keepDraft } from './drafts';
import { settings, type Profile } from './settings.svelte';

export interface Written {
  displayName: string;
  timeZone: string;
  userContext: string;
  /** `null`: the default one. */
  systemPrompt: string | null;
}

interface Draft {
  fields: Written;
  /** When the profile was changed that this was written over. */
  base: string;
}

const DRAFT = 'settings:profile';

function of(profile: Profile): Written {
  const { displayName, timeZone } = profile;
  return { displayName, timeZone, userContext: profile.userContext ?? '', systemPrompt: profile.systemPrompt ?? null };
}

class ProfileForm {
  fields = $state<Written | null>(null);
  /** The draft comes from an earlier visit. */
  isOld = $state(false);
  #base = $state('');

  get isChanged(): boolean {
    const profile = settings.profile.value;
    if (!this.fields || !profile) return false;
    const [mine, theirs] = [this.fields, of(profile)];
    return (Object.keys(theirs) as (keyof Written)[]).some((key) => mine[key] !== theirs[key]);
  }

  /** Somebody else wrote the profile since this draft was begun. */
  get isOvertaken(): boolean {
    const profile = settings.profile.value;
    return this.isChanged && profile !== null && profile.updatedAt !== this.#base;
  }

  /** Once the profile was read: with what was not saved, if there is any. */
  begin(profile: Profile) {
    if (this.fields) {
      if (this.isChanged) this.isOld = true;
      else this.#take(profile);
      return;
    }
    const draft = draftOf<Draft>(DRAFT);
    this.#take(profile);
    if (!draft) return;
    this.fields = draft.fields;
    this.#base = draft.base;
    this.isOld = this.isChanged;
  }

  /** Keeps what was written. */
  written() {
    const draft: Draft = { fields: $state.snapshot(this.fields) as Written, base: this.#base };
    if (this.isChanged) keepDraft(DRAFT, draft);
    else forgetDraft(DRAFT);
  }

  discard() {
    const profile = settings.profile.value;
    if (profile) this.#take(profile);
    this.written();
  }

  async save() {
    if (!this.fields) return;
    await settings.writeProfile({ ...this.fields, userContext: this.fields.userContext || null });
    this.discard();
  }

  #take(profile: Profile) {
    this.fields = of(profile);
    this.#base = profile.updatedAt;
    this.isOld = false;
  }
}

export const profileForm = new ProfileForm();
